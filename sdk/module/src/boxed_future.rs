//! The type of a future whose type has no name, or would be too large.

use std::pin::Pin;

/// A future on the heap that may be moved to another thread.
pub(crate) type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;
