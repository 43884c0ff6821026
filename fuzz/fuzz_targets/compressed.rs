//! Whatever claims to be a compressed control message, reading it does not panic, and what comes out
//! is no larger than was announced.
#![no_main]

use libfuzzer_sys::fuzz_target;
use videocall_types::{
    compression::decompress,
    wire::{Compressed, Compression, Message as _},
};

fuzz_target!(|input: (u32, Vec<u8>)| {
    let (size, data) = input;
    let compressed = Compressed {
        compression: Compression::Zstd.into(),
        size: size % 70_000,
        data: data.into(),
    };
    if let Ok(control) = decompress(&compressed) {
        // Fields that are not known are left out.
        assert!(control.encoded_len() <= compressed.size as usize);
    }
});
