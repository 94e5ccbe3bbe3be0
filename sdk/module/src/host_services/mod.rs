//! The module's own calls to its host, from the outside in: the author's [`bus`] and [`kv`]; `link`, which knows for which request a
//! call is made; and `calls`, which matches responses with calls. `watch` is the author's end of a watch, `changes` its queue, and
//! `stored` has the types for stored values. The host's requests to the module are in `requests`.

pub(crate) mod bus;
pub(crate) mod calls;
mod changes;
pub mod kv;
pub(crate) mod link;
mod stored;
mod watch;
