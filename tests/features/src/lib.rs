//! Empty. The dependencies of this crate turn on all features that any member of the workspace turns on.
