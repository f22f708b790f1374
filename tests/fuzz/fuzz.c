#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/fuzz/targets.h"

const fuzz_target *const fuzz_targets[] = {
    &fuzz_bytes, &fuzz_public_key, &fuzz_seeded, &fuzz_ciphertext, &fuzz_secret_key, &fuzz_switch_key, &fuzz_galois_keys,
    &fuzz_answer, &fuzz_text, &fuzz_network, &fuzz_weights, &fuzz_idx, &fuzz_cifar, &fuzz_cifar100, &fuzz_image, &fuzz_costs, &fuzz_checkpoint,
    &fuzz_onnx, &fuzz_bristol, &fuzz_frame, &fuzz_server, &fuzz_client, NULL,
};

const fuzz_target *fuzz_find(const char *name)
{
    for (size_t i = 0; fuzz_targets[i] != NULL; i++) {
        if (strcmp(fuzz_targets[i]->name, name) == 0) {
            return fuzz_targets[i];
        }
    }
    return NULL;
}

_Noreturn void fuzz_broken(const char *condition, const char *file, int line)
{
    (void)fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, condition);
    abort();
}

fuzz_file fuzz_file_new(const uint8_t *data, size_t len)
{
    fuzz_file f = {.fd = memfd_create("fuzz", MFD_CLOEXEC)};
    require(f.fd >= 0);
    for (size_t done = 0; done < len;) {
        const ssize_t n = write(f.fd, data + done, len - done);
        require(n > 0);
        done += (size_t)n;
    }
    (void)snprintf(f.path, sizeof f.path, "/proc/self/fd/%d", f.fd);
    return f;
}

void fuzz_file_free(fuzz_file *f)
{
    (void)close(f->fd);
}
