/* A VP8 or VP9 decoder whose picture buffers have a largest size. */
#include "shim.h"

#include <stdlib.h>
#include <string.h>

#include <vpx/vp8dx.h>
#include <vpx/vpx_decoder.h>
#include <vpx/vpx_frame_buffer.h>

/* Eight references, the frame being decoded, and one that the caller is looking at. More are never
 * asked for; if they were, decoding would fail and nothing worse. */
#define POOL 16

struct vcx_decoder {
  vpx_codec_ctx_t codec;
  size_t max_frame_bytes;
  int refused;
  struct {
    uint8_t *data;
    size_t size;
    int used;
  } pool[POOL];
};

static int get_buffer(void *user, size_t min_size, vpx_codec_frame_buffer_t *buffer) {
  struct vcx_decoder *decoder = user;
  if (min_size > decoder->max_frame_bytes) {
    decoder->refused = 1;
    return -1;
  }
  for (size_t i = 0; i < POOL; i++) {
    if (decoder->pool[i].used) continue;
    if (decoder->pool[i].size < min_size) {
      free(decoder->pool[i].data);
      decoder->pool[i].size = 0;
      /* Zeroed, as the library asks: a damaged frame may show what was never written. */
      decoder->pool[i].data = calloc(1, min_size);
      if (!decoder->pool[i].data) return -1;
      decoder->pool[i].size = min_size;
    }
    decoder->pool[i].used = 1;
    buffer->data = decoder->pool[i].data;
    buffer->size = decoder->pool[i].size;
    buffer->priv = &decoder->pool[i].used;
    return 0;
  }
  return -1;
}

static int release_buffer(void *user, vpx_codec_frame_buffer_t *buffer) {
  (void)user;
  if (buffer->priv) *(int *)buffer->priv = 0;
  buffer->priv = NULL;
  return 0;
}

int vcx_decoder_new(uint32_t codec, uint32_t threads, uint64_t max_frame_bytes, vcx_decoder **out) {
  *out = NULL;
  struct vcx_decoder *decoder = calloc(1, sizeof(*decoder));
  if (!decoder) return VPX_CODEC_MEM_ERROR;
  decoder->max_frame_bytes = (size_t)max_frame_bytes;
  vpx_codec_dec_cfg_t config;
  memset(&config, 0, sizeof(config));
  config.threads = threads;
  int error = vpx_codec_dec_init(&decoder->codec,
                                 codec == VCX_VP8 ? vpx_codec_vp8_dx() : vpx_codec_vp9_dx(),
                                 &config, 0);
  if (error) {
    free(decoder);
    return error;
  }
  if (codec == VCX_VP9) {
    error = vpx_codec_set_frame_buffer_functions(&decoder->codec, get_buffer, release_buffer,
                                                 decoder);
    if (error) {
      vcx_decoder_free(decoder);
      return error;
    }
  }
  *out = decoder;
  return 0;
}

int vcx_decoder_decode(vcx_decoder *decoder, const uint8_t *data, size_t length) {
  decoder->refused = 0;
  const int error = vpx_codec_decode(&decoder->codec, data, (unsigned int)length, NULL, 0);
  return error && decoder->refused ? VCX_TOO_LARGE : error;
}

int vcx_decoder_picture(vcx_decoder *decoder, vcx_picture *out) {
  vpx_codec_iter_t iterator = NULL;
  vpx_image_t *image = NULL;
  vpx_image_t *next;
  while ((next = vpx_codec_get_frame(&decoder->codec, &iterator))) image = next;
  if (!image) return 0;
  if (image->fmt != VPX_IMG_FMT_I420) return -VCX_NOT_420;
  for (int i = 0; i < 3; i++) {
    out->planes[i] = image->planes[i];
    out->strides[i] = image->stride[i];
  }
  out->width = image->d_w;
  out->height = image->d_h;
  return 1;
}

void vcx_decoder_free(vcx_decoder *decoder) {
  if (!decoder) return;
  vpx_codec_destroy(&decoder->codec);
  for (size_t i = 0; i < POOL; i++) free(decoder->pool[i].data);
  free(decoder);
}
