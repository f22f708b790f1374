/* What reading and writing the public part share: figures, and the table of all fields key=value. */
#ifndef SOTTO_NN_MODEL_TEXT_INTERNAL_H
#define SOTTO_NN_MODEL_TEXT_INTERNAL_H

#include <locale.h>

#include "nn/model/text.h"

#define TEXT_VERSION 1
#define HASH_BYTES 32

/* Figures have a point in a file, whatever the locale of the program around; 0 when memory is out. */
locale_t sotto_text_numbers_begin(locale_t *before);
void sotto_text_numbers_end(locale_t c, locale_t before);

/* An unsigned number in [low, high] at the beginning of s; *rest is what follows. */
int sotto_text_number(const char *s, uint32_t low, uint32_t high, const char **rest, uint32_t *out);
/* A finite figure that ends the string, or at `stop`. */
int sotto_text_real(const char *s, char stop, const char **rest, double *out);

typedef struct text_out {
    char *data;
    size_t len, cap;
    int full; /* something did not fit */
} text_out;

void sotto_text_put(text_out *o, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A key of node lines or of plan lines. */
typedef struct text_field {
    const char *name, *expected;
    unsigned ops, required; /* bits of sotto_op: that may have it, that must */
    int spare;              /* not written where all its numbers are 0 */
    const struct text_kind *kind;
    char separator;         /* between numbers */
    struct {
        size_t at; /* in sotto_node */
        uint32_t low, high;
    } number[5];            /* until one whose high is 0 */
} text_field;

typedef struct text_kind {
    int (*read)(const text_field *f, sotto_node *n, const char *value); /* 0: not what is expected */
    void (*write)(const text_field *f, text_out *o, const sotto_node *n); /* what follows key= */
} text_kind;

typedef struct text_fields {
    const text_field *of;
    size_t count;
} text_fields;

int sotto_text_spared(const text_field *f, const sotto_node *n); /* 1: not to be written */
/* In the order in which they are written. */
extern const text_fields sotto_text_node_fields, sotto_text_plan_fields;
extern const char *const sotto_text_unit_names[SOTTO_UNIT_KINDS];

#endif
