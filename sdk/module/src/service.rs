//! A service or an event as a value that knows its types, for the test harness. Generated code has one for each that the module provides,
//! requires, publishes or subscribes to.

use std::fmt;
use std::marker::PhantomData;

/// A service: its topic, and the types of its request and response. The test harness takes it to call a service of the module, or to stub
/// one that the module requires.
pub struct Service<Req, Res> {
    topic: &'static str,
    types: PhantomData<fn(Req) -> Res>,
}

/// An event: its topic, and the type of its payload. The test harness takes it to send the module an event, or to find what the module has
/// published.
pub struct Event<P> {
    topic: &'static str,
    types: PhantomData<fn(P)>,
}

macro_rules! named {
    ($type:ident<$($parameter:ident),+>) => {
        impl<$($parameter),+> $type<$($parameter),+> {
            /// For generated code.
            #[doc(hidden)]
            #[must_use]
            pub const fn new(topic: &'static str) -> Self {
                Self { topic, types: PhantomData }
            }

            /// The topic, as the manifest writes it.
            #[must_use]
            pub const fn topic(&self) -> &'static str {
                self.topic
            }
        }

        // Not derived: a derive would require the same of the type parameters.
        impl<$($parameter),+> Clone for $type<$($parameter),+> {
            fn clone(&self) -> Self {
                *self
            }
        }

        impl<$($parameter),+> Copy for $type<$($parameter),+> {}

        impl<$($parameter),+> fmt::Debug for $type<$($parameter),+> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_tuple(stringify!($type)).field(&self.topic).finish()
            }
        }
    };
}

named!(Service<Req, Res>);
named!(Event<P>);
