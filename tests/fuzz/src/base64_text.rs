//! Base64 with the fast crate and with the plain one: both write, read and refuse the same.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ixt_protocol::{decode_base64, encode_base64};

pub(crate) fn run(data: &[u8]) {
    let plain = STANDARD.decode(data);
    assert_eq!(base64_simd::STANDARD.decode_to_vec(data).ok(), plain.clone().ok());
    assert_eq!(decode_base64(data).ok(), plain.ok());
    let text = encode_base64(data);
    assert_eq!(text, STANDARD.encode(data));
    assert_eq!(base64_simd::STANDARD.decode_to_vec(&text).ok().as_deref(), Some(data));
}
