//! The first start of all modules, group by group, in the order of what they require.

use std::sync::Arc;

use tokio::sync::{SetOnce, oneshot};

use crate::supervisor::{StartError, Supervisor};

impl Supervisor {
    /// Starts all modules in the background, once, when the host starts, and returns at once. `groups` has their
    /// indexes in `modules`, as [`start_order::groups`](super::start_order::groups) returns them. A group is started
    /// when each process of the group before is ready, has failed its first start, or was stopped. When that holds for
    /// the last group too, the receiver gets the errors of all failed first starts, in the order of the starts: an
    /// empty list if all went well.
    pub(crate) fn start_all(&self, groups: &[Vec<usize>]) -> oneshot::Receiver<Vec<StartError>> {
        let mut firsts = Vec::new();
        for group in groups {
            // Not a `watch`, which would wake the replicas in a different order each time.
            let turn = Arc::new(SetOnce::new());
            let mut of_group = Vec::new();
            for router in group.iter().map(|index| &self.modules[*index]) {
                let release = router.release();
                for _ in 0..release.deployment().instances {
                    let Some(replica) = router.add_replica(&release, None, router.start_permit()) else { continue };
                    let (turn, waiting) = (Arc::clone(&turn), Arc::clone(&replica));
                    let may_start = async move {
                        tokio::select! {
                            biased;
                            () = turn.wait() => {}
                            () = waiting.retired() => {}
                        }
                    };
                    of_group.push(self.run(router, &replica, None, may_start));
                }
            }
            firsts.push((turn, of_group));
        }
        let (done, starts) = oneshot::channel();
        tokio::spawn(async move {
            let mut failed = Vec::new();
            for (turn, group) in firsts {
                let _ = turn.set(());
                for first in group {
                    // A replica that was stopped meanwhile has closed its channel.
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
