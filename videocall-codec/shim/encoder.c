/* A realtime VP9 encoder with caller-chosen temporal references. */
#include "shim.h"

#include <stdlib.h>
#include <string.h>

#include <vpx/vp8cx.h>
#include <vpx/vpx_encoder.h>

/* Frames are dropped while the rate controller's buffer is below this share, in percent. */
#define DROP_THRESHOLD 30

struct vcx_encoder {
  vpx_codec_ctx_t codec;
  vpx_codec_enc_cfg_t config;
  vpx_image_t image;
  int temporal_layers;
};

/* Shares of the bitrate that the layers up to each one get, as WebRTC has them. */
static void share_bitrate(vpx_codec_enc_cfg_t *config, uint32_t kbps) {
  static const unsigned percent[4][3] = {{0}, {100}, {60, 100}, {40, 60, 100}};
  const unsigned layers = config->ts_number_layers;
  config->rc_target_bitrate = kbps;
  for (unsigned i = 0; i < layers; i++) {
    unsigned share = (unsigned)((uint64_t)kbps * percent[layers][i] / 100);
    if (share == 0) share = 1;
    config->layer_target_bitrate[i] = share;
    config->ts_target_bitrate[i] = share;
  }
  config->ss_target_bitrate[0] = kbps;
}

static void set_layers(vpx_codec_enc_cfg_t *config, unsigned layers) {
  static const unsigned pattern[4][4] = {{0}, {0}, {0, 1}, {0, 2, 1, 2}};
  config->ss_number_layers = 1;
  config->ts_number_layers = layers;
  config->ts_periodicity = layers == 3 ? 4 : layers;
  for (unsigned i = 0; i < layers; i++) config->ts_rate_decimator[i] = 1u << (layers - 1 - i);
  for (unsigned i = 0; i < config->ts_periodicity; i++) {
    config->ts_layer_id[i] = pattern[layers][i];
  }
  config->temporal_layering_mode =
      layers > 1 ? VP9E_TEMPORAL_LAYERING_MODE_BYPASS : VP9E_TEMPORAL_LAYERING_MODE_NOLAYERING;
}

static int set_controls(struct vcx_encoder *encoder, const vcx_encoder_config *wanted) {
  vpx_codec_ctx_t *codec = &encoder->codec;
  vpx_codec_err_t error = VPX_CODEC_OK;
#define SET(id, value)                                     \
  do {                                                     \
    error = vpx_codec_control(codec, id, value);           \
    if (error != VPX_CODEC_OK) return error;               \
  } while (0)
  SET(VP8E_SET_CPUUSED, (int)wanted->speed);
  SET(VP9E_SET_TILE_COLUMNS, (int)wanted->tile_columns_log2);
  SET(VP9E_SET_ROW_MT, wanted->row_mt);
  SET(VP9E_SET_TUNE_CONTENT, wanted->screen ? VP9E_CONTENT_SCREEN : VP9E_CONTENT_DEFAULT);
  SET(VP9E_SET_AQ_MODE, 3); /* cyclic refresh: intra blocks spread over frames */
  SET(VP8E_SET_STATIC_THRESHOLD, 1);
  SET(VP8E_SET_MAX_INTRA_BITRATE_PCT, wanted->max_keyframe_percent);
  SET(VP9E_SET_GF_CBR_BOOST_PCT, 0);
  SET(VP9E_SET_FRAME_PERIODIC_BOOST, 0);
  SET(VP9E_SET_NOISE_SENSITIVITY, 0);
  /* Frames of higher layers may be missing at the receiver: no frame may take over its
   * probabilities from one that is not its reference. */
  SET(VP9E_SET_FRAME_PARALLEL_DECODING, encoder->temporal_layers > 1 ? 1 : 0);
  if (encoder->temporal_layers > 1) {
    vpx_svc_extra_cfg_t layers;
    memset(&layers, 0, sizeof(layers));
    for (int i = 0; i < encoder->temporal_layers; i++) {
      layers.max_quantizers[i] = (int)wanted->max_quantizer;
      layers.min_quantizers[i] = (int)wanted->min_quantizer;
      layers.speed_per_layer[i] = (int)wanted->speed;
    }
    layers.scaling_factor_num[0] = 1;
    layers.scaling_factor_den[0] = 1;
    layers.temporal_layering_mode = VP9E_TEMPORAL_LAYERING_MODE_BYPASS;
    SET(VP9E_SET_SVC, 1);
    SET(VP9E_SET_SVC_PARAMETERS, &layers);
    if (wanted->drop_frames) {
      vpx_svc_frame_drop_t drop;
      memset(&drop, 0, sizeof(drop));
      drop.framedrop_thresh[0] = DROP_THRESHOLD;
      drop.framedrop_mode = FULL_SUPERFRAME_DROP;
      drop.max_consec_drop = 8;
      SET(VP9E_SET_SVC_FRAME_DROP_LAYER, &drop);
    }
  }
#undef SET
  return VPX_CODEC_OK;
}

int vcx_encoder_new(const vcx_encoder_config *wanted, vcx_encoder **out) {
  *out = NULL;
  if (wanted->temporal_layers < 1 || wanted->temporal_layers > 3) return VPX_CODEC_INVALID_PARAM;
  struct vcx_encoder *encoder = calloc(1, sizeof(*encoder));
  if (!encoder) return VPX_CODEC_MEM_ERROR;
  vpx_codec_enc_cfg_t *config = &encoder->config;
  int error = vpx_codec_enc_config_default(vpx_codec_vp9_cx(), config, 0);
  if (error) {
    free(encoder);
    return error;
  }
  encoder->temporal_layers = (int)wanted->temporal_layers;
  config->g_w = wanted->width;
  config->g_h = wanted->height;
  config->g_threads = wanted->threads;
  config->g_timebase.num = 1;
  config->g_timebase.den = 90000;
  config->g_lag_in_frames = 0;
  config->g_pass = VPX_RC_ONE_PASS;
  config->g_error_resilient =
      wanted->error_resilient || wanted->temporal_layers > 1 ? VPX_ERROR_RESILIENT_DEFAULT : 0;
  config->rc_end_usage = VPX_CBR;
  config->rc_min_quantizer = wanted->min_quantizer;
  config->rc_max_quantizer = wanted->max_quantizer;
  config->rc_dropframe_thresh = wanted->drop_frames ? DROP_THRESHOLD : 0;
  config->rc_resize_allowed = 0;
  config->rc_undershoot_pct = 50;
  config->rc_overshoot_pct = 50;
  config->rc_buf_initial_sz = 500;
  config->rc_buf_optimal_sz = 600;
  config->rc_buf_sz = 1000;
  /* Keyframes come when the caller asks, and never by themselves. */
  config->kf_mode = VPX_KF_DISABLED;
  set_layers(config, wanted->temporal_layers);
  share_bitrate(config, wanted->bitrate_kbps);
  error = vpx_codec_enc_init(&encoder->codec, vpx_codec_vp9_cx(), config, 0);
  if (error) {
    free(encoder);
    return error;
  }
  error = set_controls(encoder, wanted);
  if (error) {
    vcx_encoder_free(encoder);
    return error;
  }
  *out = encoder;
  return 0;
}

static int set_references(struct vcx_encoder *encoder, const vcx_encoder_frame *frame) {
  vpx_svc_layer_id_t layer;
  memset(&layer, 0, sizeof(layer));
  layer.temporal_layer_id = (int)frame->temporal;
  layer.temporal_layer_id_per_spatial[0] = (int)frame->temporal;
  int error = vpx_codec_control(&encoder->codec, VP9E_SET_SVC_LAYER_ID, &layer);
  if (error) return error;
  vpx_svc_ref_frame_config_t references;
  memset(&references, 0, sizeof(references));
  references.lst_fb_idx[0] = frame->reference_slot;
  references.gld_fb_idx[0] = frame->reference_slot;
  references.alt_fb_idx[0] = frame->reference_slot;
  references.reference_last[0] = 1;
  references.update_buffer_slot[0] = frame->update_slot < 0 ? 0 : 1 << frame->update_slot;
  return vpx_codec_control(&encoder->codec, VP9E_SET_SVC_REF_FRAME_CONFIG, &references);
}

int vcx_encoder_encode(vcx_encoder *encoder, const vcx_picture *picture,
                       const vcx_encoder_frame *frame, vcx_packet *out) {
  memset(out, 0, sizeof(*out));
  if (picture->width != encoder->config.g_w || picture->height != encoder->config.g_h) {
    return VPX_CODEC_INVALID_PARAM;
  }
  if (encoder->temporal_layers > 1) {
    const int error = set_references(encoder, frame);
    if (error) return error;
  }
  /* The wrapped image only points to the caller's planes, which the encoder reads. */
  vpx_image_t *image = vpx_img_wrap(&encoder->image, VPX_IMG_FMT_I420, picture->width,
                                    picture->height, 1, (unsigned char *)picture->planes[0]);
  if (!image) return VPX_CODEC_INVALID_PARAM;
  for (int i = 0; i < 3; i++) {
    image->planes[i] = (unsigned char *)picture->planes[i];
    image->stride[i] = picture->strides[i];
  }
  int error = vpx_codec_encode(&encoder->codec, image, frame->pts, (unsigned long)frame->duration,
                               frame->keyframe ? VPX_EFLAG_FORCE_KF : 0, VPX_DL_REALTIME);
  if (error) return error;
  vpx_codec_iter_t iterator = NULL;
  const vpx_codec_cx_pkt_t *packet;
  while ((packet = vpx_codec_get_cx_data(&encoder->codec, &iterator))) {
    if (packet->kind != VPX_CODEC_CX_FRAME_PKT) continue;
    if (out->length) return VPX_CODEC_ERROR; /* without lag, one picture makes one frame */
    out->data = packet->data.frame.buf;
    out->length = packet->data.frame.sz;
    out->keyframe = (packet->data.frame.flags & VPX_FRAME_IS_KEY) != 0;
  }
  return 0;
}

int vcx_encoder_set_bitrate(vcx_encoder *encoder, uint32_t kbps) {
  share_bitrate(&encoder->config, kbps);
  return vpx_codec_enc_config_set(&encoder->codec, &encoder->config);
}

void vcx_encoder_free(vcx_encoder *encoder) {
  if (!encoder) return;
  vpx_codec_destroy(&encoder->codec);
  free(encoder);
}

const char *vcx_error_text(int code) {
  return vpx_codec_err_to_string((vpx_codec_err_t)code);
}
