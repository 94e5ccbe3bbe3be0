//! Nothing: what is depended on here has the features that it has in the whole workspace.
