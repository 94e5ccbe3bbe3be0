//! The first start of all modules, group by group, in the order of what they require.

use std::sync::Arc;

use tokio::sync::{oneshot, watch};

use crate::supervisor::{StartError, Supervisor};

impl Supervisor {
    /// Starts all modules in the background. A group is started when each process of the group before is ready or has
    /// failed its first start. Returns the errors of all first starts, when all have been made.
    pub(crate) fn start_all(&self, groups: &[Vec<usize>]) -> oneshot::Receiver<Vec<StartError>> {
        let current = watch::Sender::new(0);
        let mut firsts = Vec::new();
        for (index, group) in groups.iter().enumerate() {
            let mut of_group = Vec::new();
            for router in group.iter().map(|index| &self.modules[*index]) {
                let release = router.release();
                for _ in 0..release.deployment().instances {
                    let Some(replica) = router.add_replica(&release, None, router.start_permit()) else { continue };
                    let (mut current, waiting) = (current.subscribe(), Arc::clone(&replica));
                    let may_start = async move {
                        tokio::select! {
                            // An error means that the sender is gone: all groups have been started.
                            _ = current.wait_for(|current| *current >= index) => {}
                            () = waiting.retired() => {}
                        }
                    };
                    of_group.push(self.run(router, &replica, None, may_start));
                }
            }
            firsts.push(of_group);
        }
        let (done, starts) = oneshot::channel();
        tokio::spawn(async move {
            let mut failed = Vec::new();
            for (index, group) in firsts.into_iter().enumerate() {
                current.send_replace(index);
                for first in group {
                    // A replica that was stopped meanwhile has no result, and is not waited for.
                    if let Ok(Err(error)) = first.await {
                        failed.push(error);
                    }
                }
            }
            let _ = done.send(failed);
        });
        starts
    }
}
