#include "ot/ferret_internal.h"

#include <string.h>

#include "lib/ct.h"
#include "lib/mem.h"
#include "lib/prg.h"
#include "ot/kernels.h"

#define LEAVES SOTTO_FERRET_LEAVES
#define DEPTH SOTTO_FERRET_DEPTH
#define START SOTTO_FERRET_START
#define BATCH 16      /* trees whose sums travel together */
#define CODE_ROWS 128 /* rows of the code that are drawn at once */

struct sotto_ferret {
    const sotto_ot_kernels *kernels;
    sotto_softspoken *source; /* until the first round */
    sotto_hash hash;
    sotto_block offset; /* at the sender */
    sotto_prg coins;    /* roots at the sender; places and first choices at the receiver */
    sotto_aes_key code; /* public: the rows of A in this round */
    uint64_t round;
    int failed;         /* no call succeeds after one that did not */
    size_t used;        /* trees of this round; SOTTO_FERRET_TREES before the first */
    sotto_block *start; /* START: v or w of this round, then the OTs of the trees */
    sotto_block *next;  /* START, for the round to come */
    sotto_block tree[2][LEAVES], rest[LEAVES];
    uint64_t words[CODE_ROWS * SOTTO_OT_LPN_WORDS];
    sotto_block sums[BATCH][DEPTH];
    uint16_t places[SOTTO_FERRET_TREES]; /* of the trees in hand, at the receiver */
    uint8_t flips[SOTTO_FERRET_TREES][SOTTO_FERRET_FLIP_BYTES];
};

int sotto_ferret_new(sotto_ferret **out, sotto_softspoken *source, sotto_hash hash, sotto_block offset,
                     sotto_block seed)
{
    sotto_ferret *f = sotto_calloc(1, sizeof *f);
    *out = f;
    if (f == NULL) {
        return sotto_fail(SOTTO_ERR_MEMORY, "no memory for silent OT");
    }
    f->kernels = sotto_ot_kernels_choose();
    f->source = source;
    f->hash = hash;
    f->offset = offset;
    f->used = SOTTO_FERRET_TREES;
    sotto_prg_init(&f->coins, seed);
    return SOTTO_OK;
}

void sotto_ferret_free(sotto_ferret *f)
{
    if (f != NULL) {
        sotto_softspoken_free(f->source);
        sotto_free_secret(f->start, START, sizeof *f->start);
        sotto_free_secret(f->next, START, sizeof *f->next);
        sotto_free_secret(f, 1, sizeof *f);
    }
}

/* ---- trees ----------------------------------------------------------------------------------------------------- */

static sotto_aes_key tree_key(const sotto_ferret *f, size_t tree)
{
    sotto_hash h = f->hash;
    sotto_aes_key key;
    h.domain = SOTTO_DOMAIN_TREE;
    sotto_aes_expand(&key, sotto_hash_key(&h, 0, 0, f->round * SOTTO_FERRET_TREES + tree));
    return key;
}

/* The OTs that seal the levels of a tree. */
static sotto_block *seals(const sotto_ferret *f, size_t tree)
{
    return f->start + SOTTO_FERRET_CODE + tree * DEPTH;
}

/* Sender: the leaves, in the array that is returned, and the sealed sum of the left nodes of each level. With b the
 * choice of a seal, flip = b xor (not the bit of the place): the receiver opens the sum of the side where its place
 * is not, for the sums of the two sides differ by D. */
static sotto_block *tree_send(sotto_ferret *f, size_t tree, uint64_t flips, sotto_block sums[DEPTH])
{
    const sotto_aes_key key = tree_key(f, tree);
    const sotto_block *seal = seals(f, tree);
    sotto_block *node = f->tree[0], *child = f->tree[1];
    sotto_prg_fill(&f->coins, node, sizeof *node);
    node[1] = sotto_block_xor(node[0], f->offset);
    sums[0] = node[0];
    for (size_t level = 1; level < DEPTH; level++) {
        sums[level] = f->kernels->grow(child, node, (size_t)1 << level, &key);
        sotto_block *const swap = node;
        node = child;
        child = swap;
    }
    for (size_t level = 0; level < DEPTH; level++) {
        const uint64_t mask = sotto_ct_mask(flips >> level & 1);
        sums[level] = sotto_block_xor(sums[level], sotto_block_xor(seal[level], sotto_block_and(f->offset, mask)));
    }
    return node;
}

/* Receiver: the leaves. The node that it lacks on a level is any value and grows like the others; the sum of the
 * other side, opened, less the sum of that side as grown is what the one child to be found is off by, and the sum of
 * all leaves what the leaf at the place is off by. */
static sotto_block *tree_recv(sotto_ferret *f, size_t tree, uint64_t place, const sotto_block sums[DEPTH])
{
    const sotto_aes_key key = tree_key(f, tree);
    const sotto_block *seal = seals(f, tree);
    sotto_block *node = f->tree[0], *child = f->tree[1], all = {{0, 0}};
    node[0] = node[1] = all;
    for (size_t level = 0; level < DEPTH; level++) {
        const uint64_t known = place >> (DEPTH - 1 - level) ^ 1; /* the sibling of the lacking child */
        sotto_block left = {{0, 0}};
        if (level > 0) {
            left = f->kernels->grow(child, node, (size_t)1 << level, &key);
            sotto_block *const swap = node;
            node = child;
            child = swap;
        }
        /* The parents sum to `all`, so do their children: the right ones to all xor left. */
        const sotto_block side = sotto_block_xor(left, sotto_block_and(all, sotto_ct_mask(known & 1)));
        const sotto_block off = sotto_block_xor(side, sotto_block_xor(sums[level], seal[level]));
        f->kernels->patch(node, (size_t)2 << level, known, off);
        all = sotto_block_xor(all, off);
    }
    f->kernels->patch(node, LEAVES, place, all);
    return node;
}

/* y = leaves with a lowest bit of zero xor the tree's rows of A applied to the start. */
static void encode(sotto_ferret *f, size_t tree, sotto_block *y, const sotto_block *leaf)
{
    for (size_t at = 0; at < LEAVES; at += CODE_ROWS) {
        const size_t blocks = sizeof f->words / (sizeof(sotto_block));
        sotto_aes_counter(&f->code, f->words, (tree * LEAVES + at) / CODE_ROWS * blocks, blocks);
        f->kernels->lpn(y + at, leaf + at, CODE_ROWS, f->start, f->words);
    }
}

/* Where the OTs of tree i of a call go, `left` of which are wanted: in place, or to a spare tree. */
static sotto_block *place_of(sotto_ferret *f, sotto_block *out, size_t left)
{
    return left < LEAVES ? f->rest : out;
}

static void keep(const sotto_ferret *f, sotto_block *out, size_t left)
{
    if (left < LEAVES) {
        memcpy(out, f->rest, left * sizeof *out);
    }
}

/* `count` OTs of the next trees of this round. */
static int trees_send(sotto_ferret *f, sotto_chan *chan, size_t count, sotto_block *y)
{
    const size_t trees = (count + LEAVES - 1) / LEAVES;
    int status = sotto_chan_recv(chan, f->flips, trees * sizeof *f->flips);
    for (size_t i = 0; i < trees && status == SOTTO_OK; i++) {
        const size_t tree = f->used + i, left = count - i * LEAVES;
        sotto_block *const out = place_of(f, y + i * LEAVES, left);
        const uint64_t flips = (uint64_t)f->flips[i][0] | (uint64_t)f->flips[i][1] << 8;
        const sotto_block *leaf = tree_send(f, tree, flips, f->sums[i % BATCH]);
        if (i % BATCH == BATCH - 1 || i == trees - 1) { /* on its way while the code is applied */
            status = sotto_chan_send(chan, f->sums, (i % BATCH + 1) * sizeof *f->sums);
            if (status == SOTTO_OK) {
                status = sotto_chan_flush(chan);
            }
        }
        encode(f, tree, out, leaf);
        keep(f, y + i * LEAVES, left);
    }
    f->used += trees;
    return status;
}

static int trees_recv(sotto_ferret *f, sotto_chan *chan, size_t count, sotto_block *z)
{
    const size_t trees = (count + LEAVES - 1) / LEAVES;
    sotto_prg_fill(&f->coins, f->places, trees * sizeof *f->places);
    for (size_t i = 0; i < trees; i++) {
        const sotto_block *seal = seals(f, f->used + i);
        uint64_t flips = 0;
        f->places[i] &= (uint16_t)(LEAVES - 1);
        for (unsigned level = 0; level < DEPTH; level++) {
            flips |= ((seal[level].w[0] ^ ~((uint64_t)f->places[i] >> (DEPTH - 1 - level))) & 1) << level;
        }
        f->flips[i][0] = (uint8_t)flips;
        f->flips[i][1] = (uint8_t)(flips >> 8);
    }
    int status = sotto_chan_send(chan, f->flips, trees * sizeof *f->flips);
    for (size_t i = 0; i < trees && status == SOTTO_OK; i++) {
        const size_t tree = f->used + i, left = count - i * LEAVES;
        sotto_block *const out = place_of(f, z + i * LEAVES, left);
        if (i % BATCH == 0) {
            status = sotto_chan_recv(chan, f->sums, (trees - i < BATCH ? trees - i : BATCH) * sizeof *f->sums);
        }
        encode(f, tree, out, tree_recv(f, tree, f->places[i], f->sums[i % BATCH]));
        f->kernels->patch(out, LEAVES, f->places[i], (sotto_block){{1, 0}}); /* e in the choices */
        keep(f, z + i * LEAVES, left);
    }
    sotto_wipe(f->places, sizeof f->places);
    f->used += trees;
    return status;
}

/* ---- rounds ---------------------------------------------------------------------------------------------------- */

static void begin_round(sotto_ferret *f)
{
    sotto_hash h = f->hash;
    sotto_block *const swap = f->start;
    f->start = f->next;
    f->next = swap;
    f->used = 0;
    f->round++;
    h.domain = SOTTO_DOMAIN_CODE;
    sotto_aes_expand(&f->code, sotto_hash_key(&h, 0, 0, f->round));
}

static int allocate(sotto_ferret *f)
{
    if (f->start == NULL) {
        f->start = sotto_calloc(START, sizeof *f->start);
        f->next = sotto_calloc(START, sizeof *f->next);
    }
    if (f->start == NULL || f->next == NULL) {
        return sotto_fail(SOTTO_ERR_MEMORY, "no memory for the codes of silent OT");
    }
    return SOTTO_OK;
}

/* SoftSpoken's OTs with the choices moved to the lowest bits: q, q xor D with the lowest bit of q dropped. */
static int first_send(sotto_ferret *f, sotto_chan *chan)
{
    const int status = sotto_softspoken_send(f->source, chan, START, f->next);
    for (size_t i = 0; i < START; i++) {
        f->next[i].w[0] &= ~(uint64_t)1;
    }
    return status;
}

static int first_recv(sotto_ferret *f, sotto_chan *chan)
{
    uint8_t choices[(START + 7) / 8];
    sotto_prg_fill(&f->coins, choices, sizeof choices);
    const int status = sotto_softspoken_recv(f->source, chan, choices, START, f->next);
    for (size_t i = 0; i < START; i++) {
        f->next[i].w[0] = (f->next[i].w[0] & ~(uint64_t)1) | sotto_bit(choices, i);
    }
    sotto_wipe(choices, sizeof choices);
    return status;
}

typedef int trees_function(sotto_ferret *f, sotto_chan *chan, size_t count, sotto_block *out);
typedef int first_function(sotto_ferret *f, sotto_chan *chan);

/* Both parties' rounds. */
static int run(sotto_ferret *f, sotto_chan *chan, size_t count, sotto_block *out, trees_function *trees,
               first_function *first)
{
    int status = f->failed ? sotto_fail(SOTTO_ERR_PROTOCOL, "an OT extension that has failed: the session has ended") : allocate(f);
    for (size_t done = 0; done < count && status == SOTTO_OK;) {
        if (f->used == SOTTO_FERRET_TREES) { /* before the first round only */
            status = first(f, chan);
            sotto_softspoken_free(f->source);
            f->source = NULL;
            if (status == SOTTO_OK) {
                begin_round(f);
            }
        } else if (f->used == SOTTO_FERRET_TREES - SOTTO_FERRET_RESERVE) {
            status = trees(f, chan, START, f->next);
            if (status == SOTTO_OK) {
                begin_round(f);
            }
        }
        if (status != SOTTO_OK) {
            break;
        }
        const size_t room = (SOTTO_FERRET_TREES - SOTTO_FERRET_RESERVE - f->used) * LEAVES;
        const size_t n = count - done < room ? count - done : room;
        status = trees(f, chan, n, out + done);
        done += n;
    }
    if (status != SOTTO_OK) { /* seals and flips of a round that has no start would be zero: never go on */
        f->failed = 1;
        sotto_wipe(out, count * sizeof *out);
    }
    return status;
}

int sotto_ferret_send(sotto_ferret *f, sotto_chan *chan, size_t count, sotto_block *y)
{
    return run(f, chan, count, y, trees_send, first_send);
}

int sotto_ferret_recv(sotto_ferret *f, sotto_chan *chan, size_t count, sotto_block *z)
{
    return run(f, chan, count, z, trees_recv, first_recv);
}
