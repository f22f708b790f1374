#include "nn/train/rounding.h"

#include <math.h>
#include <string.h>

static void round_layer(float *w, size_t count, float levels)
{
    float largest = 0.0f;
    for (size_t i = 0; i < count; i++) {
        largest = fmaxf(largest, fabsf(w[i]));
    }
    if (largest > 0.0f) {
        const float scale = largest / levels;
        for (size_t i = 0; i < count; i++) {
            w[i] = rintf(w[i] / scale) * scale;
        }
    }
}

void sotto_round_weights(sotto_model *m, unsigned bits, float *kept)
{
    const float levels = (float)((1u << (bits - 1)) - 1);
    for (size_t i = 0; i < m->node_count; i++) {
        const sotto_node *n = &m->nodes[i];
        if (sotto_op_is_linear(n->op)) {
            const size_t count = sotto_tensor_count(m, n, 0);
            if (kept != NULL) {
                memcpy(kept, n->tensor[0], count * sizeof *kept);
                kept += count;
            }
            round_layer(n->tensor[0], count, levels);
        }
    }
}

void sotto_unround_weights(sotto_model *m, const float *kept)
{
    for (size_t i = 0; i < m->node_count; i++) {
        if (sotto_op_is_linear(m->nodes[i].op)) {
            const size_t count = sotto_tensor_count(m, &m->nodes[i], 0);
            memcpy(m->nodes[i].tensor[0], kept, count * sizeof *kept);
            kept += count;
        }
    }
}
