/* Constants and attributes of an ONNX graph. */
#include <math.h>
#include <string.h>

#include "nn/onnx/read_internal.h"

/* Checks the dimensions; their product is in *count. A rank of 0 has one element. */
static int shape_of(const reader *r, const Onnx__TensorProto *t, size_t dims[ONNX_RANK_MAX], unsigned *rank, size_t *count)
{
    char name[ONNX_NAME_SHOWN];
    sotto_onnx_shown(t->name, name);
    if (t->n_dims > ONNX_RANK_MAX) {
        return sotto_onnx_refuse(r, "tensor %s has %zu dimensions; at most %d are read", name, t->n_dims, ONNX_RANK_MAX);
    }
    *rank = (unsigned)t->n_dims;
    *count = 1;
    for (size_t i = 0; i < t->n_dims; i++) {
        if (t->dims[i] < 0 || t->dims[i] > SOTTO_WEIGHTS_MAX) {
            return sotto_fail(SOTTO_ERR_LIMIT, "tensor %s: a dimension of %lld; expected 0 to %u", name, (long long)t->dims[i], SOTTO_WEIGHTS_MAX);
        }
        dims[i] = (size_t)t->dims[i];
        *count *= dims[i]; /* both factors below 2^29 */
        if (*count > SOTTO_WEIGHTS_MAX) {
            return sotto_fail(SOTTO_ERR_LIMIT, "tensor %s: more than %u elements", name, SOTTO_WEIGHTS_MAX);
        }
    }
    if (t->has_data_location && t->data_location != 0) {
        return sotto_onnx_refuse(r, "tensor %s: its data are in another file; save the network with its weights inside the .onnx file", name);
    }
    return SOTTO_OK;
}

static uint64_t little_endian(const uint8_t *p, unsigned bytes)
{
    uint64_t v = 0;
    for (unsigned i = bytes; i-- > 0;) {
        v = v << 8 | p[i];
    }
    return v;
}

float sotto_onnx_float(const floats_view *v, size_t i)
{
    if (v->list != NULL) {
        return v->list[i];
    }
    const uint32_t bits = (uint32_t)little_endian(v->raw + 4 * i, 4);
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

int sotto_onnx_floats_of(const reader *r, const value *v, floats_view *out)
{
    char name[ONNX_NAME_SHOWN];
    memset(out, 0, sizeof *out);
    if (v == NULL || v->kind != VALUE_TENSOR) {
        return sotto_onnx_refuse(r, "expected a constant of floats, not %s", v == NULL ? "nothing" : sotto_onnx_shown(v->name, name));
    }
    const Onnx__TensorProto *t = v->tensor;
    sotto_onnx_shown(v->name, name);
    if (t->data_type != ONNX_FLOAT) {
        return sotto_onnx_refuse(r, "tensor %s is of element type %d; expected 1 (32-bit floats)", name, (int)t->data_type);
    }
    const int status = shape_of(r, t, out->dims, &out->rank, &out->count);
    if (status != SOTTO_OK) {
        return status;
    }
    out->raw = t->has_raw_data ? t->raw_data.data : NULL;
    out->list = t->has_raw_data ? NULL : t->float_data;
    if (t->has_raw_data ? t->raw_data.len != 4 * out->count : t->n_float_data != out->count) {
        return sotto_onnx_broken(r, "tensor %s: its data do not have the %zu floats of its shape", name, out->count);
    }
    for (size_t i = 0; i < out->count; i++) {
        if (!isfinite(sotto_onnx_float(out, i))) {
            return sotto_onnx_broken(r, "tensor %s: element %zu is no finite number", name, i);
        }
    }
    return SOTTO_OK;
}

int sotto_onnx_ints_of(const reader *r, const value *v, int64_t *out, size_t max, size_t *count)
{
    char name[ONNX_NAME_SHOWN];
    size_t dims[ONNX_RANK_MAX], n = 0;
    unsigned rank;
    if (v == NULL || (v->kind != VALUE_TENSOR && v->kind != VALUE_INTS)) {
        return sotto_onnx_refuse(r, "expected a constant of whole numbers, not %s", v == NULL ? "nothing" : sotto_onnx_shown(v->name, name));
    }
    sotto_onnx_shown(v->name, name);
    if (v->kind == VALUE_INTS) {
        n = v->int_count;
    } else {
        const int status = shape_of(r, v->tensor, dims, &rank, &n);
        if (status != SOTTO_OK) {
            return status;
        }
    }
    if (n > max) {
        return sotto_onnx_refuse(r, "tensor %s has %zu numbers; expected at most %zu", name, n, max);
    }
    *count = n;
    if (v->kind == VALUE_INTS) {
        memcpy(out, v->ints, n * sizeof *out);
        return SOTTO_OK;
    }
    const Onnx__TensorProto *t = v->tensor;
    const int wide = t->data_type == ONNX_INT64;
    const unsigned bytes = wide ? 8 : 4;
    if (!wide && t->data_type != ONNX_INT32) {
        return sotto_onnx_refuse(r, "tensor %s is of element type %d; expected 6 or 7 (whole numbers)", name, (int)t->data_type);
    }
    if (t->has_raw_data ? t->raw_data.len != bytes * n : (wide ? t->n_int64_data : t->n_int32_data) != n) {
        return sotto_onnx_broken(r, "tensor %s: its data do not have the %zu numbers of its shape", name, n);
    }
    for (size_t i = 0; i < n; i++) {
        if (t->has_raw_data) {
            const uint64_t bits = little_endian(t->raw_data.data + bytes * i, bytes);
            out[i] = wide ? (int64_t)bits : (int64_t)(int32_t)(uint32_t)bits;
        } else {
            out[i] = wide ? t->int64_data[i] : t->int32_data[i];
        }
    }
    return SOTTO_OK;
}

/* ---- attributes ---------------------------------------------------------------------------------------------------- */

enum { ATTRIBUTE_FLOAT = 1, ATTRIBUTE_INT = 2, ATTRIBUTE_STRING = 3, ATTRIBUTE_INTS = 7 };

const Onnx__AttributeProto *sotto_onnx_attribute(const reader *r, const char *name)
{
    for (size_t i = 0; i < r->node->n_attribute; i++) {
        if (r->node->attribute[i]->name != NULL && strcmp(r->node->attribute[i]->name, name) == 0) {
            return r->node->attribute[i];
        }
    }
    return NULL;
}

/* *out NULL when it is absent. A file may leave the type out (IR versions before 2). */
static int typed(const reader *r, const char *name, int type, const Onnx__AttributeProto **out)
{
    *out = sotto_onnx_attribute(r, name);
    return *out == NULL || !(*out)->has_type || (*out)->type == type
               ? SOTTO_OK
               : sotto_onnx_broken(r, "attribute %s is of type %d; expected %d", name, (int)(*out)->type, type);
}

int sotto_onnx_attribute_int(const reader *r, const char *name, int64_t *out)
{
    const Onnx__AttributeProto *a;
    const int status = typed(r, name, ATTRIBUTE_INT, &a);
    *out = status == SOTTO_OK && a != NULL ? a->i : *out;
    return status;
}

int sotto_onnx_attribute_float(const reader *r, const char *name, float *out)
{
    const Onnx__AttributeProto *a;
    const int status = typed(r, name, ATTRIBUTE_FLOAT, &a);
    if (status == SOTTO_OK && a != NULL && !isfinite(a->f)) {
        return sotto_onnx_broken(r, "attribute %s is no finite number", name);
    }
    *out = status == SOTTO_OK && a != NULL ? a->f : *out;
    return status;
}

int sotto_onnx_attribute_ints(const reader *r, const char *name, int64_t *out, size_t max, size_t *count)
{
    const Onnx__AttributeProto *a;
    const int status = typed(r, name, ATTRIBUTE_INTS, &a);
    *count = 0;
    if (status != SOTTO_OK || a == NULL) {
        return status;
    }
    if (a->n_ints > max) {
        return sotto_onnx_refuse(r, "attribute %s has %zu numbers; expected at most %zu: images have two dimensions and channels here", name,
                                 a->n_ints, max);
    }
    if (a->n_ints > 0) {
        memcpy(out, a->ints, a->n_ints * sizeof *out);
    }
    *count = a->n_ints;
    return SOTTO_OK;
}

int sotto_onnx_attribute_choice(const reader *r, const char *name, const char *const *choices, unsigned *out)
{
    const Onnx__AttributeProto *a;
    char shown[ONNX_NAME_SHOWN];
    const int status = typed(r, name, ATTRIBUTE_STRING, &a);
    if (status != SOTTO_OK || a == NULL) {
        return status;
    }
    for (unsigned i = 0; choices[i] != NULL; i++) {
        if (a->s.len == strlen(choices[i]) && memcmp(a->s.data, choices[i], a->s.len) == 0) {
            *out = i;
            return SOTTO_OK;
        }
    }
    const size_t len = a->s.len < ONNX_NAME_SHOWN - 1 ? a->s.len : ONNX_NAME_SHOWN - 1;
    char text[ONNX_NAME_SHOWN] = "";
    if (len > 0) {
        memcpy(text, a->s.data, len);
    }
    text[len] = '\0';
    return sotto_onnx_refuse(r, "attribute %s is '%s'; supported: %s%s%s%s%s", name, sotto_onnx_shown(text, shown), choices[0],
                             choices[1] != NULL ? ", " : "", choices[1] != NULL ? choices[1] : "",
                             choices[1] != NULL && choices[2] != NULL ? ", " : "",
                             choices[1] != NULL && choices[2] != NULL ? choices[2] : "");
}
