#include "nn/train/augment.h"

sotto_variant sotto_augment_draw(const sotto_augment_options *o, sotto_shape shape, sotto_prg *prg)
{
    const uint32_t span = 2 * o->shift + 1, half = o->cutout / 2;
    uint32_t word[5];
    sotto_prg_fill(prg, word, sizeof word);
    return (sotto_variant){.dy = (int)sotto_word_below(word[0], span) - (int)o->shift,
                           .dx = (int)sotto_word_below(word[1], span) - (int)o->shift,
                           .mirror = o->flip && sotto_word_below(word[2], 2) == 1,
                           .cut_y = (int)sotto_word_below(word[3], shape.h) - (int)half,
                           .cut_x = (int)sotto_word_below(word[4], shape.w) - (int)half};
}

static int clamp(int x, int low, int high)
{
    return x < low ? low : x > high ? high : x;
}

/* One row of w pixels; `in` is the image's row, NULL where that lies outside. */
static void row(float *out, const uint8_t *in, int w, const sotto_variant *v, float scale, float offset)
{
    /* Columns first .. last - 1 have a source within the image. */
    const int first = v->mirror ? clamp(v->dx, 0, w) : clamp(-v->dx, 0, w), last = v->mirror ? clamp(w + v->dx, 0, w) : clamp(w - v->dx, 0, w);
    const int from = v->mirror ? w - 1 + v->dx : v->dx, step = v->mirror ? -1 : 1;
    for (int x = 0; x < w; x++) {
        out[x] = 0.0f;
    }
    for (int x = first; in != NULL && x < last; x++) {
        out[x] = (float)in[from + step * x] * scale - offset;
    }
}

void sotto_augment(float *out, const sotto_model *m, const uint8_t *pixels, const sotto_augment_options *o, const sotto_variant *v)
{
    const sotto_shape s = m->nodes[0].shape;
    const int h = (int)s.h, w = (int)s.w, cut = (int)o->cutout;
    const int top = clamp(v->cut_y, 0, h), bottom = clamp(v->cut_y + cut, 0, h), left = clamp(v->cut_x, 0, w), right = clamp(v->cut_x + cut, 0, w);
    for (uint32_t c = 0; c < s.c; c++) {
        const float scale = 1.0f / (255.0f * m->std[c]), offset = m->mean[c] / m->std[c];
        for (int y = 0; y < h; y++, out += w) {
            const int from = y + v->dy;
            row(out, from >= 0 && from < h ? pixels + ((size_t)c * s.h + (size_t)from) * s.w : NULL, w, v, scale, offset);
            for (int x = left; y >= top && y < bottom && x < right; x++) {
                out[x] = 0.0f;
            }
        }
    }
}
