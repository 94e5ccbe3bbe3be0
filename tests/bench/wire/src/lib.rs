//! Processes that are called over a socket ([`Callee`]), the lean client that calls them ([`client`]), and programs that make calls with
//! a client of their own ([`load`]).

pub mod affinity;
mod callee;
pub mod client;
pub mod frame;
pub mod health;
pub mod load;

pub use callee::{Callee, Cost, Starting};
pub use frame::{Framing, frame};
