//! Frames of either side: a frame that the quick reader reads is read as the same by serde.

use ixt_protocol::{HostFrame, ModuleFrame};

use crate::input::frame;

pub(crate) fn run_host(data: &[u8]) {
    if let (Some(quick), any) = HostFrame::read_both_ways(frame(data)) {
        assert_eq!(Ok(quick), any);
    }
}

pub(crate) fn run_module(data: &[u8]) {
    if let (Some(quick), any) = ModuleFrame::read_both_ways(frame(data)) {
        assert_eq!(Ok(quick), any);
    }
}
