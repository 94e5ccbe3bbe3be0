//! What a module asks of its host, from the outside in: the author's [`bus`] and [`kv`]; `link`, which knows for which request a
//! call is made; `calls`, which matches responses with calls. `changes` holds what the host tells to watches.

pub(crate) mod bus;
pub(crate) mod calls;
mod changes;
pub mod kv;
pub(crate) mod link;
mod stored;
mod watch;
