//! Frames of the host and of the module: if the quick reader reads a frame, serde reads the same.

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
