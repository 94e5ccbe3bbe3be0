//! The surroundings of one check: the module, the facts, and the output of the processes that the check starts.

use std::time::Duration;

use super::facts::Facts;
use super::frame::Offer;
use super::process::OutputTail;
use super::reply::ModuleReply;
use super::session::ModuleSession;
use super::subject::Subject;
use super::verdict::Stop;

/// How long a module that does not close its connection with its host is watched for further replies at the end of a
/// check.
const LATE_REPLY_WAIT: Duration = Duration::from_millis(100);

/// The surroundings of one check. Each check gets another one.
pub(super) struct Trial<'a> {
    pub(super) subject: &'a Subject,
    pub(super) facts: &'a Facts,
    /// The last lines of the output of the processes of this check.
    pub(super) output: OutputTail,
}

impl<'a> Trial<'a> {
    /// A trial that has started no process; its output is empty.
    pub(super) fn new(subject: &'a Subject, facts: &'a Facts) -> Self {
        Self { subject, facts, output: OutputTail::default() }
    }

    /// Starts a process, and waits until it has connected. Unlike [`Subject::start`], the session knows the facts.
    pub(super) fn start(&self) -> Result<ModuleSession, Stop> {
        let mut session = self.subject.start(&self.output)?;
        session.replies_have_ids = Some(self.facts.replies_have_ids);
        session.answers_health_check = self.facts.answers_health_check;
        Ok(session)
    }

    /// Starts a process and initializes it, with the default offer.
    pub(super) fn ready(&self) -> Result<ModuleSession, Stop> {
        self.ready_with(&Offer::default()).map(|(session, _)| session)
    }

    /// Starts a process and initializes it with this offer. Also returns its reply to `init`, which is a success.
    pub(super) fn ready_with(&self, offer: &Offer) -> Result<(ModuleSession, ModuleReply), Stop> {
        let mut session = self.start()?;
        let reply = session.initialize(&self.subject.config, offer)?;
        Ok((session, reply))
    }

    /// Checks that the module still answers and has sent no second reply, and ends it. A check that leaves the module
    /// running ends with this.
    pub(super) fn finish(&self, mut session: ModuleSession) -> Result<(), Stop> {
        session.lives()?;
        // A separate check reports a module that does not end with its host.
        let timeout = if self.facts.closes_with_host { self.subject.timeout } else { LATE_REPLY_WAIT };
        session.end(timeout)?;
        Ok(())
    }
}
