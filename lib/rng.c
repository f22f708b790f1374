#include "lib/rng.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/random.h>

#include "lib/mem.h"

static int system_fill(void *ctx, void *out, size_t len)
{
    uint8_t *p = out;
    size_t done = 0;

    (void)ctx;
    while (done < len) {
        ssize_t n = getrandom(p + done, len - done, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            int code = errno;
            sotto_wipe(out, len);
            return sotto_fail(SOTTO_ERR_RNG, "the system's random source failed: %s; getrandom(2) needs Linux 3.17",
                              strerror(code));
        }
        done += (size_t)n;
    }
    return SOTTO_OK;
}

sotto_rng sotto_rng_system(void)
{
    return (sotto_rng){system_fill, NULL};
}

int sotto_rng_fill(const sotto_rng *rng, void *out, size_t len)
{
    return len ? rng->fill(rng->ctx, out, len) : SOTTO_OK;
}
