/* The public part of a model as text: what people write to describe an architecture, and what a client is given.
 *
 *     sotto-model 1
 *     name fashion
 *     id 00112233445566778899aabbccddeeff        absent in an untrained architecture
 *     input 1x28x28 mean=0.286 std=0.353         one figure per channel, separated by commas; mean=0 std=1 when left out
 *     label T-shirt/top                           one line per class; any printable text up to 31 bytes
 *     conv c1 input out=16 kernel=5x5 stride=1 pad=2 groups=1
 *     relu r1 c1
 *     act a1 c1                                   relu everywhere unless units and mask lines, after all nodes, say otherwise
 *     pad p0 r1 pad=1 channels=0,8
 *     batchnorm n1 c1 epsilon=1e-5
 *     maxpool p1 r1 kernel=2 stride=2
 *     dense fc p1 out=10
 *     units a1 0 relu*3,relu2x3,identity,square*4 act: kinds from channel 0 on; relu2x3: one decision per patch of 2 rows, 3 columns
 *     mask a1 0 ff00                              act: from value 0 on, 8 values a byte, lowest bit first; 0: passed on unchanged
 *     plan input scale=0.0124 bits=9
 *     plan c1 weight-scale=0.003 weight-bits=8 he=4096:46,46 tile=1x4x28x28    tile: nn/secure/linear.h; left out: chosen by both parties alike
 *     plan r1 f=9 k=18 u=6
 *     windows r1 0 18*3,16*13                     after the plan of a node with signs: bits of each channel's window from channel 0 on; all channels or none
 *     plan a1 f=9 k=18 u=6 poly=7,14,9,24,1       act with polynomials: f, shift, bits, k, exchange of sotto_poly_plan_fields
 *     checksum <64 hex digits>                    BLAKE2b-256 of all bytes before this line; required once there is an id
 *
 * kernel, stride: N or HxW; pad: N, HxW or top,left,bottom,right. Defaults: stride=1 (pools: stride=kernel) pad=0 groups=1. '#' starts a comment line.
 * The node of the input is named `input`. Writing is canonical: reading what was written and writing again gives the same bytes.
 */
#ifndef SOTTO_NN_MODEL_TEXT_H
#define SOTTO_NN_MODEL_TEXT_H

#include "nn/model/model.h"

#define SOTTO_TEXT_MAX (4u << 20)

/* Parses `len` bytes into an initialised or zeroed *m (shapes inferred, public_hash set), to be freed by the caller. SOTTO_ERR_FORMAT with line number, key and
 * what is allowed; SOTTO_ERR_VERSION, _CHECKSUM, _LIMIT. On failure *m is zeroed. */
SOTTO_MUST_CHECK int sotto_model_parse(sotto_model *m, const char *text, size_t len);
/* Canonical text, *text released by the caller with sotto_free; sets public_hash. The checksum line is written when the model has an id.
 * SOTTO_ERR_ARG (an empty model), SOTTO_ERR_MEMORY, SOTTO_ERR_LIMIT. */
SOTTO_MUST_CHECK int sotto_model_print(sotto_model *m, char **text, size_t *len);

#endif
