/* libFuzzer's side: -target=NAME chooses the decoder, -seeds=FOLDER writes its valid inputs there first, -list prints the names. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t len, size_t max_len, unsigned seed);
size_t LLVMFuzzerMutate(uint8_t *data, size_t len, size_t max_len); /* libFuzzer's own */

static const fuzz_target *target;

static void list(void)
{
    for (size_t i = 0; fuzz_targets[i] != NULL; i++) {
        (void)printf("%s\n", fuzz_targets[i]->name);
    }
    exit(0);
}

static void write_seeds(const char *folder)
{
    uint8_t *data = malloc(FUZZ_SEED_MAX);
    require(data != NULL);
    for (unsigned i = 0;; i++) {
        const size_t len = target->seed(i, data);
        char path[4096];
        if (len == 0) {
            break;
        }
        (void)snprintf(path, sizeof path, "%s/seed-%u", folder, i);
        FILE *f = fopen(path, "wb");
        require(f != NULL && fwrite(data, 1, len, f) == len && fclose(f) == 0);
    }
    free(data);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    /* libFuzzer starts itself anew to merge or minimise, without the arguments that are taken away here. */
    static const char variable[] = "SOTTO_FUZZ_TARGET";
    const char *seeds = NULL, *name = getenv(variable);
    int kept = 1;
    for (int i = 1; i < *argc; i++) {
        char *arg = (*argv)[i];
        if (strcmp(arg, "-list") == 0) {
            list();
        } else if (strncmp(arg, "-target=", 8) == 0) {
            name = arg + 8;
        } else if (strncmp(arg, "-seeds=", 7) == 0) {
            seeds = arg + 7;
        } else {
            (*argv)[kept++] = arg;
        }
    }
    *argc = kept;
    target = name != NULL ? fuzz_find(name) : NULL;
    if (target == NULL || setenv(variable, name, 1) != 0) {
        (void)fprintf(stderr, "-target=NAME is missing or unknown; -list prints the names\n");
        exit(2);
    }
    if (target->start != NULL) {
        target->start();
    }
    if (seeds != NULL) {
        write_seeds(seeds);
    }
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    (void)target->run(data, len);
    return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t len, size_t max_len, unsigned seed)
{
    const size_t mutated = LLVMFuzzerMutate(data, len, max_len);
    return target->fixed_length && seed % 16 != 0 ? len : mutated; /* what was cut off still stands behind the end */
}
