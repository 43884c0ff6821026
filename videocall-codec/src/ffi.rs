//! The only unsafe code: calls into the shim over libvpx, wrapped so that what leaves is safe.
//!
//! A handle owns what the shim allocated and is freed once, by `Drop`. libvpx's contexts may move
//! between threads but not be used by two at a time, which `&mut self` of every call sees to.
#![allow(unsafe_code)]

use std::{
    ffi::{CStr, c_char, c_int},
    ptr::{NonNull, null, null_mut},
    slice,
};

use crate::yuv::{I420View, Plane};

/// Code of [`raw::vcx_decoder_decode`]: a picture is larger than allowed.
pub(crate) const TOO_LARGE: c_int = 1000;
/// Code of a picture that is not 8-bit 4:2:0.
pub(crate) const NOT_420: c_int = 1001;

/// As `vcx_encoder_config` in shim.h.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct EncoderConfig {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) bitrate_kbps: u32,
    pub(crate) temporal_layers: u32,
    pub(crate) speed: u32,
    pub(crate) threads: u32,
    pub(crate) tile_columns_log2: u32,
    pub(crate) row_mt: u32,
    pub(crate) screen: u32,
    pub(crate) drop_frames: u32,
    pub(crate) error_resilient: u32,
    pub(crate) min_quantizer: u32,
    pub(crate) max_quantizer: u32,
    pub(crate) max_keyframe_percent: u32,
}

/// As `vcx_encoder_frame` in shim.h.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct EncoderFrame {
    pub(crate) pts: i64,
    pub(crate) duration: u64,
    pub(crate) keyframe: u32,
    pub(crate) temporal: u32,
    pub(crate) reference_slot: i32,
    pub(crate) update_slot: i32,
}

mod raw {
    use super::{EncoderConfig, EncoderFrame, c_char, c_int};

    #[repr(C)]
    pub(super) struct Picture {
        pub(super) planes: [*const u8; 3],
        pub(super) strides: [i32; 3],
        pub(super) width: u32,
        pub(super) height: u32,
    }

    #[repr(C)]
    pub(super) struct Packet {
        pub(super) data: *const u8,
        pub(super) length: usize,
        pub(super) keyframe: u32,
    }

    #[repr(C)]
    pub(super) struct Encoder {
        _opaque: [u8; 0],
    }

    #[repr(C)]
    pub(super) struct Decoder {
        _opaque: [u8; 0],
    }

    unsafe extern "C" {
        pub(super) fn vcx_encoder_new(
            config: *const EncoderConfig,
            out: *mut *mut Encoder,
        ) -> c_int;
        pub(super) fn vcx_encoder_encode(
            encoder: *mut Encoder,
            picture: *const Picture,
            frame: *const EncoderFrame,
            out: *mut Packet,
        ) -> c_int;
        pub(super) fn vcx_encoder_set_bitrate(encoder: *mut Encoder, bitrate_kbps: u32) -> c_int;
        pub(super) fn vcx_encoder_free(encoder: *mut Encoder);
        pub(super) fn vcx_decoder_new(
            codec: u32,
            threads: u32,
            max_frame_bytes: u64,
            out: *mut *mut Decoder,
        ) -> c_int;
        pub(super) fn vcx_decoder_decode(
            decoder: *mut Decoder,
            data: *const u8,
            length: usize,
        ) -> c_int;
        pub(super) fn vcx_decoder_picture(decoder: *mut Decoder, out: *mut Picture) -> c_int;
        pub(super) fn vcx_decoder_free(decoder: *mut Decoder);
        pub(super) fn vcx_error_text(code: c_int) -> *const c_char;
    }
}

/// What a code of libvpx means.
pub(crate) fn error_text(code: c_int) -> String {
    // SAFETY: the shim takes any code and gives a string literal, which is never freed.
    unsafe {
        let text = raw::vcx_error_text(code);
        if text.is_null() {
            return format!("code {code}");
        }
        CStr::from_ptr(text).to_string_lossy().into_owned()
    }
}

/// An encoder of the shim.
#[derive(Debug)]
pub(crate) struct Encoder(NonNull<raw::Encoder>);

// SAFETY: libvpx keeps no thread-local state; see the module's doc.
unsafe impl Send for Encoder {}

impl Encoder {
    pub(crate) fn new(config: &EncoderConfig) -> Result<Self, c_int> {
        let mut out = null_mut();
        // SAFETY: both pointers are valid for the call, and the shim keeps neither.
        let code = unsafe { raw::vcx_encoder_new(config, &raw mut out) };
        match NonNull::new(out) {
            Some(encoder) if code == 0 => Ok(Self(encoder)),
            _ => Err(code),
        }
    }

    /// The encoded bytes, empty where the frame was dropped, and whether it is a keyframe. Both
    /// sides of the picture must be those of the configuration.
    pub(crate) fn encode(
        &mut self,
        picture: I420View<'_>,
        frame: &EncoderFrame,
    ) -> Result<(&[u8], bool), c_int> {
        let [y, u, v] = picture.planes();
        let raw_picture = raw::Picture {
            planes: [y.data.as_ptr(), u.data.as_ptr(), v.data.as_ptr()],
            strides: [y, u, v].map(|plane| plane.stride as i32),
            width: picture.width(),
            height: picture.height(),
        };
        let mut packet = raw::Packet {
            data: null(),
            length: 0,
            keyframe: 0,
        };
        // SAFETY: an `I420View` has checked that its planes hold every row of a picture of its
        // size at its strides, which fit an i32; the shim refuses sizes other than configured,
        // reads the planes during the call only, and writes nothing but `packet`.
        let code = unsafe {
            raw::vcx_encoder_encode(
                self.0.as_ptr(),
                &raw const raw_picture,
                frame,
                &raw mut packet,
            )
        };
        if code != 0 {
            return Err(code);
        }
        if packet.data.is_null() || packet.length == 0 {
            return Ok((&[], false));
        }
        // SAFETY: libvpx gave this buffer, valid until its encoder is called again, which the
        // borrow of `self` rules out.
        let data = unsafe { slice::from_raw_parts(packet.data, packet.length) };
        Ok((data, packet.keyframe != 0))
    }

    pub(crate) fn set_bitrate(&mut self, bitrate_kbps: u32) -> Result<(), c_int> {
        // SAFETY: the handle is valid as long as `self`.
        match unsafe { raw::vcx_encoder_set_bitrate(self.0.as_ptr(), bitrate_kbps) } {
            0 => Ok(()),
            code => Err(code),
        }
    }
}

impl Drop for Encoder {
    fn drop(&mut self) {
        // SAFETY: the handle came from `vcx_encoder_new` and is freed here only.
        unsafe { raw::vcx_encoder_free(self.0.as_ptr()) }
    }
}

/// A decoder of the shim.
#[derive(Debug)]
pub(crate) struct Decoder(NonNull<raw::Decoder>);

// SAFETY: libvpx keeps no thread-local state; see the module's doc.
unsafe impl Send for Decoder {}

impl Decoder {
    pub(crate) fn new(vp9: bool, threads: u32, max_frame_bytes: u64) -> Result<Self, c_int> {
        let mut out = null_mut();
        // SAFETY: the pointer is valid for the call, and the shim does not keep it.
        let code =
            unsafe { raw::vcx_decoder_new(u32::from(vp9), threads, max_frame_bytes, &raw mut out) };
        match NonNull::new(out) {
            Some(decoder) if code == 0 => Ok(Self(decoder)),
            _ => Err(code),
        }
    }

    /// Decodes one frame, or one superframe.
    pub(crate) fn decode(&mut self, data: &[u8]) -> Result<(), c_int> {
        // SAFETY: the slice is valid for the call, and libvpx copies what it needs later.
        match unsafe { raw::vcx_decoder_decode(self.0.as_ptr(), data.as_ptr(), data.len()) } {
            0 => Ok(()),
            code => Err(code),
        }
    }

    /// The picture that the frame just decoded shows, if it shows one.
    pub(crate) fn picture(&mut self) -> Result<Option<I420View<'_>>, c_int> {
        let mut picture = raw::Picture {
            planes: [null(); 3],
            strides: [0; 3],
            width: 0,
            height: 0,
        };
        // SAFETY: the handle is valid as long as `self`, `picture` for the call.
        match unsafe { raw::vcx_decoder_picture(self.0.as_ptr(), &raw mut picture) } {
            0 => return Ok(None),
            1 => {}
            code => return Err(-code),
        }
        let (width, height) = (picture.width as usize, picture.height as usize);
        let mut planes = [Plane::default(); 3];
        for (index, plane) in planes.iter_mut().enumerate() {
            let (columns, rows) = match index {
                0 => (width, height),
                _ => (width.div_ceil(2), height.div_ceil(2)),
            };
            let stride = usize::try_from(picture.strides[index]).map_err(|_| NOT_420)?;
            if picture.planes[index].is_null() || rows == 0 || stride < columns {
                return Err(NOT_420);
            }
            // SAFETY: libvpx gave a plane of `rows` rows, `stride` apart, of at least `columns`
            // bytes each, valid until its decoder is called again, which the borrow rules out.
            plane.data = unsafe {
                slice::from_raw_parts(picture.planes[index], stride * (rows - 1) + columns)
            };
            plane.stride = stride;
        }
        I420View::new(picture.width, picture.height, planes)
            .map(Some)
            .map_err(|_| NOT_420)
    }
}

impl Drop for Decoder {
    fn drop(&mut self) {
        // SAFETY: the handle came from `vcx_decoder_new` and is freed here only.
        unsafe { raw::vcx_decoder_free(self.0.as_ptr()) }
    }
}
