//! The type of a future whose type has no name, or would be too large.

use std::pin::Pin;

pub(crate) type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;
