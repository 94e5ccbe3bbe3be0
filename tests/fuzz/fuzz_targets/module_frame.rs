//! Frames of the module: what is read quickly is what serde reads. Behind a byte that no text holds stands an attachment.
#![no_main]

use ixt_fuzz::frame;
use ixt_protocol::ModuleFrame;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let (Some(quick), any) = ModuleFrame::read_both_ways(frame(data)) {
        assert_eq!(Ok(quick), any);
    }
});
