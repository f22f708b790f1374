/* The kinds of OT extension (ot/extension.h). */
#ifndef SOTTO_OT_KIND_H
#define SOTTO_OT_KIND_H

/* The value of IKNP and SoftSpoken is k. */
typedef enum sotto_ot_kind {
    SOTTO_OT_IKNP = 1,
    SOTTO_OT_SOFTSPOKEN2 = 2,
    SOTTO_OT_SOFTSPOKEN3 = 3,
    SOTTO_OT_SOFTSPOKEN4 = 4,
    SOTTO_OT_SOFTSPOKEN5 = 5,
    SOTTO_OT_SOFTSPOKEN6 = 6,
    SOTTO_OT_SOFTSPOKEN7 = 7,
    SOTTO_OT_SOFTSPOKEN8 = 8,
    SOTTO_OT_FERRET = 16
} sotto_ot_kind;

#endif
