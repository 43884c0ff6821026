/* What Rust sees of libvpx: no struct of the library, only ours, with sizes that C fixes. */
#ifndef VIDEOCALL_SHIM_H
#define VIDEOCALL_SHIM_H

#include <stddef.h>
#include <stdint.h>

/* Planes of an 8-bit 4:2:0 picture. */
typedef struct {
  const uint8_t *planes[3];
  int32_t strides[3];
  uint32_t width;
  uint32_t height;
} vcx_picture;

typedef struct {
  uint32_t width;
  uint32_t height;
  uint32_t bitrate_kbps;
  uint32_t temporal_layers;
  uint32_t speed;
  uint32_t threads;
  uint32_t tile_columns_log2;
  uint32_t row_mt;
  uint32_t screen;
  uint32_t drop_frames;
  uint32_t error_resilient;
  uint32_t min_quantizer;
  uint32_t max_quantizer;
  uint32_t max_keyframe_percent;
} vcx_encoder_config;

/* What one frame is to be; the slots are used only with temporal layers. */
typedef struct {
  int64_t pts;
  uint64_t duration;
  uint32_t keyframe;
  uint32_t temporal;
  int32_t reference_slot;
  int32_t update_slot; /* -1: none */
} vcx_encoder_frame;

/* Valid until the next call on the same encoder; length 0 where the frame was dropped. */
typedef struct {
  const uint8_t *data;
  size_t length;
  uint32_t keyframe;
} vcx_packet;

typedef struct vcx_encoder vcx_encoder;
typedef struct vcx_decoder vcx_decoder;

/* Codes of libvpx (vpx_codec_err_t), 0 for success. */
int vcx_encoder_new(const vcx_encoder_config *config, vcx_encoder **out);
int vcx_encoder_encode(vcx_encoder *encoder, const vcx_picture *picture,
                       const vcx_encoder_frame *frame, vcx_packet *out);
int vcx_encoder_set_bitrate(vcx_encoder *encoder, uint32_t bitrate_kbps);
void vcx_encoder_free(vcx_encoder *encoder);

/* Besides libvpx's codes. */
enum { VCX_TOO_LARGE = 1000, VCX_NOT_420 = 1001 };
enum { VCX_VP8 = 0, VCX_VP9 = 1 };

int vcx_decoder_new(uint32_t codec, uint32_t threads, uint64_t max_frame_bytes, vcx_decoder **out);
int vcx_decoder_decode(vcx_decoder *decoder, const uint8_t *data, size_t length);
/* 1 and the last picture shown by the frame just decoded, 0 if it shows none, or a negated code.
 * The planes are valid until the next call on the same decoder. */
int vcx_decoder_picture(vcx_decoder *decoder, vcx_picture *out);
void vcx_decoder_free(vcx_decoder *decoder);

const char *vcx_error_text(int code);

#endif
