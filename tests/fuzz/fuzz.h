/* Fuzz targets: one for each decoder of bytes that a peer or a file sends. libFuzzer drives them (libfuzzer.c, `make fuzz`), and a plain
 * test runs every seed and every kept input through them (test_corpus.c, `make check`). */
#ifndef SOTTO_TESTS_FUZZ_FUZZ_H
#define SOTTO_TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>

#define FUZZ_SEED_MAX 65536u

typedef struct fuzz_target {
    const char *name;
    void (*start)(void); /* once, before the first run; may be NULL */
    /* 1: the bytes were accepted, 0: refused. Aborts when a property that must hold for any bytes does not. */
    int (*run)(const uint8_t *data, size_t len);
    /* Writes valid input number i, at most FUZZ_SEED_MAX bytes, and returns its length; 0: there are no more. Every seed is accepted. */
    size_t (*seed)(unsigned i, uint8_t *out);
    int fixed_length; /* the decoder knows the length beforehand: most mutations should keep it */
} fuzz_target;

extern const fuzz_target *const fuzz_targets[]; /* ends in NULL */
const fuzz_target *fuzz_find(const char *name);  /* NULL when there is none */

/* A property that must hold whatever the bytes: prints and aborts, in release builds too. */
#define require(condition) ((condition) ? (void)0 : fuzz_broken(#condition, __FILE__, __LINE__))
_Noreturn void fuzz_broken(const char *condition, const char *file, int line);

/* The bytes as a file in memory; fuzz_path gives a path for functions that open files. */
typedef struct fuzz_file {
    int fd;
    char path[32];
} fuzz_file;
fuzz_file fuzz_file_new(const uint8_t *data, size_t len);
void fuzz_file_free(fuzz_file *f);

#endif
