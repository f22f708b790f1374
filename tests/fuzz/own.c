/* Targets: files that the program writes for itself and reads later, when others may have had their hands on them. */
#include <math.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/mem.h"
#include "nn/model/weights.h"
#include "nn/plan/cost.h"
#include "nn/train/checkpoint.h"
#include "tests/fuzz/targets.h"

#define HASH_BYTES 32u

/* What `save` writes, as bytes. */
static size_t saved(uint8_t *out, int (*save)(const char *path))
{
    char folder[] = "/tmp/sotto-fuzz-XXXXXX", path[64];
    uint8_t *data;
    size_t len;
    require(mkdtemp(folder) != NULL);
    (void)snprintf(path, sizeof path, "%s/file", folder);
    require(save(path) == SOTTO_OK);
    require(sotto_file_read(path, FUZZ_SEED_MAX, &data, &len) == SOTTO_OK);
    require(unlink(path) == 0 && rmdir(folder) == 0);
    memcpy(out, data, len);
    sotto_free(data);
    return len;
}

/* ---- costs of this machine -------------------------------------------------------------------------------------------- */

static int run_costs(const uint8_t *data, size_t len)
{
    static const sotto_costs zero;
    sotto_costs c;
    fuzz_file file = fuzz_file_new(data, len);
    const int ok = sotto_costs_load(&c, file.path) == SOTTO_OK;
    fuzz_file_free(&file);
    if (!ok) {
        require(memcmp(&c, &zero, sizeof c) == 0);
        return 0;
    }
    require(memchr(c.machine, '\0', sizeof c.machine) != NULL && c.he_count <= SOTTO_COST_SETS_MAX);
    for (size_t kind = 0; kind < SOTTO_APPLY_KINDS; kind++) {
        require(isfinite(c.apply[kind]) && c.apply[kind] >= 0.0);
    }
    const double figures[] = {c.word, c.draw, c.sent, c.received, c.message, c.byte, c.round_trip, c.window, c.company};
    for (size_t i = 0; i < sizeof figures / sizeof *figures; i++) {
        require(isfinite(figures[i]) && figures[i] >= 0.0);
    }
    return 1;
}

static int save_costs(const char *path)
{
    static sotto_costs c;
    const sotto_he_set *sets = sotto_network_sets(&c.he_count);
    sotto_costs_machine(c.machine);
    for (size_t i = 0; i < c.he_count && i < SOTTO_COST_SETS_MAX; i++) {
        c.he[i].set = sets[i];
    }
    c.he_count = c.he_count < SOTTO_COST_SETS_MAX ? c.he_count : SOTTO_COST_SETS_MAX;
    c.word = 1.5e-9;
    c.company = 1.25;
    return sotto_costs_save(&c, path);
}

static size_t seed_costs(unsigned i, uint8_t *out)
{
    return i > 0 ? 0 : saved(out, save_costs);
}

const fuzz_target fuzz_costs = {"costs", NULL, run_costs, seed_costs, 0};

/* ---- checkpoints of a training ----------------------------------------------------------------------------------------- */

typedef struct training {
    uint8_t set[5];
    uint32_t epochs;
    double rate;
    uint64_t step;
    float weights[9];
} training;

enum { ITEMS = 5 };

static void list(sotto_checkpoint_item items[ITEMS], training *t)
{
    const sotto_checkpoint_item all[ITEMS] = {
        {"data set", SOTTO_ITEM_BYTES, 1, t->set, sizeof t->set}, {"number of epochs", SOTTO_ITEM_U32, 1, &t->epochs, 1},
        {"rate", SOTTO_ITEM_DOUBLE, 1, &t->rate, 1},              {"step", SOTTO_ITEM_U64, 0, &t->step, 1},
        {"weights", SOTTO_ITEM_FLOAT, 0, t->weights, 9},
    };
    memcpy(items, all, sizeof all);
}

static training begun(void)
{
    training t;
    memset(&t, 0, sizeof t); /* with its padding: it is compared whole */
    memcpy(t.set, "cifar", sizeof t.set);
    t.epochs = 20;
    t.rate = 0.1;
    return t;
}

/* The input as it is, and with the checksum that fits. */
static int run_checkpoint(const uint8_t *data, size_t len)
{
    uint8_t *copy = sotto_calloc(len + 1, 1);
    int ok = 0;
    require(copy != NULL);
    memcpy(copy, data, len);
    for (int fit = 0; fit < 2; fit++) {
        sotto_checkpoint_item items[ITEMS];
        training t = begun();
        const training before = t;
        if (fit && len >= HASH_BYTES) {
            crypto_generichash(copy + len - HASH_BYTES, HASH_BYTES, copy, len - HASH_BYTES, NULL, 0);
        }
        list(items, &t);
        fuzz_file file = fuzz_file_new(copy, len);
        ok = sotto_checkpoint_load(file.path, items, ITEMS) == SOTTO_OK;
        fuzz_file_free(&file);
        if (!ok) {
            require(memcmp(&t, &before, sizeof t) == 0);
        } else {
            require(memcmp(t.weights, copy + len - HASH_BYTES - sizeof t.weights, sizeof t.weights) == 0);
            require(memcmp(t.set, before.set, sizeof t.set) == 0 && t.epochs == before.epochs && memcmp(&t.rate, &before.rate, sizeof t.rate) == 0);
        }
    }
    sotto_free(copy);
    return ok;
}

static int save_checkpoint(const char *path)
{
    sotto_checkpoint_item items[ITEMS];
    training t = begun();
    t.step = 12345;
    t.weights[3] = -0.5f;
    list(items, &t);
    return sotto_checkpoint_save(path, items, ITEMS);
}

static size_t seed_checkpoint(unsigned i, uint8_t *out)
{
    return i > 0 ? 0 : saved(out, save_checkpoint);
}

const fuzz_target fuzz_checkpoint = {"checkpoint", NULL, run_checkpoint, seed_checkpoint, 0};
