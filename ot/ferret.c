#include "ot/ferret_internal.h"

#include <string.h>

#include "lib/ct.h"
#include "lib/mem.h"
#include "lib/prg.h"
#include "ot/kernels.h"

#define LEAVES SOTTO_FERRET_LEAVES
#define DEPTH SOTTO_FERRET_DEPTH
#define START SOTTO_FERRET_START
#define TREES SOTTO_FERRET_TREES
#define START_TREES SOTTO_FERRET_START_TREES
#define FLIP_BYTES SOTTO_FERRET_FLIP_BYTES
#define SUM_BYTES SOTTO_FERRET_SUM_BYTES
#define CODE_ROWS 128 /* rows of the code that are drawn at once */

/* The first trees of a start make what the code is applied to, to the block, the others the seals. */
#define INPUT_TREES (SOTTO_FERRET_CODE / LEAVES)
#define INPUT_BLOCKS SOTTO_FERRET_CODE
#define SEAL_BLOCKS ((START_TREES - INPUT_TREES) * LEAVES)

typedef struct round {
    sotto_block *input; /* v or w; NULL: used up */
    sotto_block *seals; /* OTs of the trees */
    uint64_t number;
    sotto_aes_key code; /* public: the rows of A */
} round;

struct sotto_ferret {
    const sotto_ot_kernels *kernels;
    sotto_hash hash;
    sotto_block offset; /* at the sender */
    sotto_prg coins;    /* roots at the sender; places and first choices at the receiver */
    round *rounds;      /* head and following: those of the stock, then one for the next stock */
    size_t head, count;
    uint64_t numbered;  /* rounds so far */
    size_t wanted;      /* of the stock */
    unsigned level;     /* of the stock, the next one */
    int pending;        /* it has been asked for */
    size_t begun;       /* trees of the stock that were asked for, at the sender given */
    size_t taken;       /* by the receiver */
    uint16_t *places;   /* receiver: of the trees of the stock, or of the level that is pending */
    size_t place_count;
    sotto_block tree[2][LEAVES], rest[LEAVES];
    uint64_t words[CODE_ROWS * SOTTO_OT_LPN_WORDS];
    uint64_t bits_of; /* the round whose choices are in bits; none is 0 */
    uint64_t bits[SOTTO_FERRET_CODE / 64];
};

/* ---- rounds ---------------------------------------------------------------------------------------------------- */

static int no_memory(void)
{
    return sotto_fail(SOTTO_ERR_MEMORY, "no memory for silent OT");
}

static void end_round(round *r)
{
    sotto_free_secret(r->input, INPUT_BLOCKS, sizeof *r->input);
    sotto_free_secret(r->seals, SEAL_BLOCKS, sizeof *r->seals);
    r->input = r->seals = NULL;
}

/* The next round, its start still zero. */
static int add_round(sotto_ferret *f)
{
    sotto_hash h = f->hash;
    round *r = &f->rounds[f->count++];
    r->input = sotto_calloc(INPUT_BLOCKS, sizeof *r->input);
    r->seals = sotto_calloc(SEAL_BLOCKS, sizeof *r->seals);
    r->number = ++f->numbered;
    h.domain = SOTTO_DOMAIN_CODE;
    sotto_aes_expand(&r->code, sotto_hash_key(&h, 0, 0, r->number));
    return r->input != NULL && r->seals != NULL ? SOTTO_OK : no_memory();
}

static void free_rounds(sotto_ferret *f)
{
    for (size_t i = 0; i < f->count; i++) {
        end_round(&f->rounds[i]);
    }
    sotto_free(f->rounds);
    sotto_free_secret(f->places, f->place_count, sizeof *f->places);
}

/* A state with one round, whose start is still zero. */
static int ferret_new(sotto_ferret **out, sotto_hash hash, sotto_block offset, sotto_block seed)
{
    sotto_ferret *f = sotto_calloc(1, sizeof *f);
    *out = f;
    if (f == NULL) {
        return no_memory();
    }
    f->kernels = sotto_ot_kernels_choose();
    f->hash = hash;
    f->offset = offset;
    f->rounds = sotto_calloc(1, sizeof *f->rounds);
    sotto_prg_init(&f->coins, seed);
    return f->rounds != NULL ? add_round(f) : no_memory();
}

/* Part of a first start: SoftSpoken's OTs with the choices moved to the lowest bits: q, q xor D with the lowest bit of q dropped. */
static int first_send(sotto_softspoken *source, sotto_chan *chan, size_t count, sotto_block *v)
{
    const int status = sotto_softspoken_send(source, chan, count, v);
    for (size_t i = 0; i < count; i++) {
        v[i].w[0] &= ~(uint64_t)1;
    }
    return status;
}

static int first_recv(sotto_ferret *f, sotto_softspoken *source, sotto_chan *chan, size_t count, sotto_block *w)
{
    uint8_t choices[INPUT_BLOCKS / 8];
    sotto_prg_fill(&f->coins, choices, count / 8);
    const int status = sotto_softspoken_recv(source, chan, choices, count, w);
    for (size_t i = 0; i < count; i++) {
        w[i].w[0] = (w[i].w[0] & ~(uint64_t)1) | sotto_bit(choices, i);
    }
    sotto_wipe(choices, count / 8);
    return status;
}

int sotto_ferret_new_sender(sotto_ferret **out, sotto_softspoken *source, sotto_chan *chan, sotto_hash hash, sotto_block offset, sotto_block seed)
{
    int status = ferret_new(out, hash, offset, seed);
    if (status == SOTTO_OK) {
        status = first_send(source, chan, INPUT_BLOCKS, (*out)->rounds[0].input);
    }
    if (status == SOTTO_OK) {
        status = first_send(source, chan, START - INPUT_BLOCKS, (*out)->rounds[0].seals);
    }
    if (status != SOTTO_OK) {
        sotto_ferret_free(*out);
        *out = NULL;
    }
    return status;
}

int sotto_ferret_new_receiver(sotto_ferret **out, sotto_softspoken *source, sotto_chan *chan, sotto_hash hash, sotto_block seed)
{
    int status = ferret_new(out, hash, (sotto_block){{0, 0}}, seed);
    if (status == SOTTO_OK) {
        status = first_recv(*out, source, chan, INPUT_BLOCKS, (*out)->rounds[0].input);
    }
    if (status == SOTTO_OK) {
        status = first_recv(*out, source, chan, START - INPUT_BLOCKS, (*out)->rounds[0].seals);
    }
    if (status != SOTTO_OK) {
        sotto_ferret_free(*out);
        *out = NULL;
    }
    return status;
}

void sotto_ferret_free(sotto_ferret *f)
{
    if (f != NULL) {
        free_rounds(f);
        sotto_free_secret(f, 1, sizeof *f);
    }
}

/* ---- trees ----------------------------------------------------------------------------------------------------- */

static sotto_aes_key tree_key(const sotto_ferret *f, const round *r, size_t tree)
{
    sotto_hash h = f->hash;
    sotto_aes_key key;
    h.domain = SOTTO_DOMAIN_TREE;
    sotto_aes_expand(&key, sotto_hash_key(&h, 0, 0, r->number * TREES + tree));
    return key;
}

/* The OTs that seal the levels of a tree. */
static const sotto_block *seals(const round *r, size_t tree)
{
    return r->seals + tree * DEPTH;
}

/* Sender: the leaves, in the array that is returned, and the sealed sum of the left nodes of each level. With b the
 * choice of a seal, flip = b xor (not the bit of the place): the receiver opens the sum of the side where its place
 * is not, for the sums of the two sides differ by D. */
static const sotto_block *grow_all(sotto_ferret *f, const round *r, size_t tree, uint64_t flips, sotto_block sums[DEPTH])
{
    const sotto_aes_key key = tree_key(f, r, tree);
    const sotto_block *seal = seals(r, tree);
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
static const sotto_block *grow_but_one(sotto_ferret *f, const round *r, size_t tree, uint64_t place, const sotto_block sums[DEPTH])
{
    const sotto_aes_key key = tree_key(f, r, tree);
    const sotto_block *seal = seals(r, tree);
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

/* The words that choose the entries of rows at .. at + CODE_ROWS of a tree's part of A. */
static void code_rows(sotto_ferret *f, const round *r, size_t tree, size_t at)
{
    const size_t blocks = sizeof f->words / (sizeof(sotto_block));
    sotto_aes_counter(&r->code, f->words, (tree * LEAVES + at) / CODE_ROWS * blocks, blocks);
}

/* y = leaves with a lowest bit of zero xor the tree's rows of A applied to the start. */
static void encode(sotto_ferret *f, const round *r, size_t tree, sotto_block *y, const sotto_block *leaf)
{
    for (size_t at = 0; at < LEAVES; at += CODE_ROWS) {
        code_rows(f, r, tree, at);
        f->kernels->lpn(y + at, leaf + at, CODE_ROWS, r->input, f->words);
    }
}

static void tree_give(sotto_ferret *f, const round *r, size_t tree, const uint8_t flips[FLIP_BYTES], uint8_t *sums, sotto_block *y)
{
    sotto_block sealed[DEPTH];
    const sotto_block *leaf = grow_all(f, r, tree, (uint64_t)flips[0] | (uint64_t)flips[1] << 8, sealed);
    memcpy(sums, sealed, sizeof sealed);
    encode(f, r, tree, y, leaf);
}

/* A place for the noise, and the flips. */
static uint16_t tree_ask(sotto_ferret *f, const round *r, size_t tree, uint8_t flips[FLIP_BYTES])
{
    const sotto_block *seal = seals(r, tree);
    uint16_t place;
    uint64_t bits = 0;
    sotto_prg_fill(&f->coins, &place, sizeof place);
    place &= (uint16_t)(LEAVES - 1);
    for (unsigned level = 0; level < DEPTH; level++) {
        bits |= ((seal[level].w[0] ^ ~((uint64_t)place >> (DEPTH - 1 - level))) & 1) << level;
    }
    flips[0] = (uint8_t)bits;
    flips[1] = (uint8_t)(bits >> 8);
    return place;
}

static void tree_take(sotto_ferret *f, const round *r, size_t tree, uint64_t place, const uint8_t *sums, sotto_block *z)
{
    sotto_block sealed[DEPTH];
    memcpy(sealed, sums, sizeof sealed);
    encode(f, r, tree, z, grow_but_one(f, r, tree, place, sealed));
    f->kernels->patch(z, LEAVES, place, (sotto_block){{1, 0}}); /* e in the choices */
}

/* Choices of a tree's OTs from those of the start, u A xor e, packed. */
static void tree_choices(sotto_ferret *f, const round *r, size_t tree, uint64_t place, uint8_t *choices)
{
    if (f->bits_of != r->number) {
        memset(f->bits, 0, sizeof f->bits);
        for (size_t i = 0; i < SOTTO_FERRET_CODE; i++) {
            f->bits[i / 64] |= (r->input[i].w[0] & 1) << i % 64;
        }
        f->bits_of = r->number;
    }
    for (size_t at = 0; at < LEAVES; at++) {
        if (at % CODE_ROWS == 0) {
            code_rows(f, r, tree, at);
        }
        const uint64_t *word = f->words + at % CODE_ROWS * SOTTO_OT_LPN_WORDS;
        uint64_t sum = sotto_ct_eq(at, place);
        for (unsigned j = 0; j < 10; j++) { /* the entries that the kernel sums (kernels.h), at public addresses */
            const uint64_t entry = word[j % 4] >> (17 * (j / 4)) & (SOTTO_FERRET_CODE - 1);
            sum ^= f->bits[entry / 64] >> entry % 64;
        }
        choices[at / 8] = (uint8_t)((at % 8 == 0 ? 0 : choices[at / 8]) | (sum & 1) << at % 8);
    }
}

/* ---- stock ----------------------------------------------------------------------------------------------------- */

sotto_ferret_level sotto_ferret_level_of(size_t rounds, unsigned level)
{
    for (size_t have = 1;; level--) {
        const size_t lack = rounds + 1 - have, want = (lack + SOTTO_FERRET_FAN - 2) / (SOTTO_FERRET_FAN - 1);
        const size_t spent = want < have ? want : have, most = spent * SOTTO_FERRET_FAN;
        const size_t made = most < lack + spent ? most : lack + spent;
        if (level == 0) {
            return (sotto_ferret_level){spent, made};
        }
        have += made - spent;
    }
}

int sotto_ferret_stock(sotto_ferret *f, size_t rounds)
{
    size_t all = 1;
    if (rounds == 0) {
        return SOTTO_OK;
    }
    for (unsigned level = 0; sotto_ferret_level_of(rounds, level).made > 0; level++) {
        all += sotto_ferret_level_of(rounds, level).made;
    }
    /* Of a level there are fewer trees than of the stock. */
    round *list = sotto_calloc(all, sizeof *list);
    uint16_t *places = sotto_calloc(rounds * TREES, sizeof *places);
    if (list == NULL || places == NULL) {
        sotto_free(list);
        sotto_free(places);
        return no_memory();
    }
    list[0] = f->rounds[--f->count];
    free_rounds(f);
    f->rounds = list;
    f->head = 0;
    f->count = 1;
    f->wanted = rounds;
    f->level = 0;
    f->pending = 0;
    f->begun = f->taken = 0;
    f->places = places;
    f->place_count = rounds * TREES;
    return SOTTO_OK;
}

static sotto_ferret_level next_level(const sotto_ferret *f)
{
    return f->wanted == 0 ? (sotto_ferret_level){0, 0} : sotto_ferret_level_of(f->wanted, f->level);
}

size_t sotto_ferret_due(const sotto_ferret *f)
{
    return f->pending ? 0 : next_level(f).made;
}

size_t sotto_ferret_pending(const sotto_ferret *f)
{
    return f->pending ? next_level(f).made : 0;
}

/* Trees START_TREES of a start that is made come from one of the rounds given up. */
static const round *parent_of(const sotto_ferret *f, size_t start)
{
    return &f->rounds[f->head + start / SOTTO_FERRET_FAN];
}

static size_t tree_of(size_t start, size_t i)
{
    return start % SOTTO_FERRET_FAN * START_TREES + i;
}

void sotto_ferret_stock_ask(sotto_ferret *f, uint8_t *flips)
{
    const size_t made = next_level(f).made;
    for (size_t s = 0; s < made; s++) {
        for (size_t i = 0; i < START_TREES; i++, flips += FLIP_BYTES) {
            f->places[s * START_TREES + i] = tree_ask(f, parent_of(f, s), tree_of(s, i), flips);
        }
    }
    f->pending = made > 0;
}

/* Either party's half of a level: flips at the sender, sums written there and read at the receiver. */
static int level(sotto_ferret *f, const uint8_t *flips, uint8_t *given, const uint8_t *taken)
{
    const sotto_ferret_level l = next_level(f);
    for (size_t s = 0; s < l.made; s++) {
        const round *parent = parent_of(f, s), *child = &f->rounds[f->count];
        const int status = add_round(f);
        if (status != SOTTO_OK) {
            return status;
        }
        for (size_t i = 0; i < START_TREES; i++) {
            const size_t at = s * START_TREES + i;
            sotto_block *out = i < INPUT_TREES ? child->input + i * LEAVES : child->seals + (i - INPUT_TREES) * LEAVES;
            if (flips != NULL) {
                tree_give(f, parent, tree_of(s, i), flips + at * FLIP_BYTES, given + at * SUM_BYTES, out);
            } else {
                tree_take(f, parent, tree_of(s, i), f->places[at], taken + at * SUM_BYTES, out);
            }
        }
    }
    for (size_t i = 0; i < l.spent; i++) {
        end_round(&f->rounds[f->head++]);
    }
    f->level++;
    f->pending = 0;
    return SOTTO_OK;
}

int sotto_ferret_stock_give(sotto_ferret *f, const uint8_t *flips, uint8_t *sums)
{
    return level(f, flips, sums, NULL);
}

int sotto_ferret_stock_take(sotto_ferret *f, const uint8_t *sums)
{
    return level(f, NULL, NULL, sums);
}

/* ---- trees of the stock ---------------------------------------------------------------------------------------- */

size_t sotto_ferret_left(const sotto_ferret *f)
{
    return (f->count - f->head - 1) * TREES - f->begun;
}

size_t sotto_ferret_asked(const sotto_ferret *f)
{
    return f->begun - f->taken;
}

static round *round_of(sotto_ferret *f, size_t tree)
{
    return &f->rounds[f->head + tree / TREES];
}

/* After so many trees. */
static void trees_done(sotto_ferret *f, size_t done)
{
    if (done % TREES == 0) {
        end_round(round_of(f, done - 1));
    }
}

void sotto_ferret_ask(sotto_ferret *f, uint8_t flips[FLIP_BYTES], uint8_t *choices)
{
    const round *r = round_of(f, f->begun);
    const uint16_t place = tree_ask(f, r, f->begun % TREES, flips);
    f->places[f->begun] = place;
    if (choices != NULL) {
        tree_choices(f, r, f->begun % TREES, place, choices);
    }
    f->begun++;
}

/* Where a tree's OTs go, the first `count` of which are wanted: in place, or to a spare tree. */
static sotto_block *room_for(sotto_ferret *f, sotto_block *out, size_t count)
{
    return count < LEAVES ? f->rest : out;
}

static void keep(const sotto_ferret *f, sotto_block *out, size_t count)
{
    if (count < LEAVES) {
        memcpy(out, f->rest, count * sizeof *out);
    }
}

void sotto_ferret_give(sotto_ferret *f, const uint8_t flips[FLIP_BYTES], uint8_t *sums, size_t count, sotto_block *y)
{
    tree_give(f, round_of(f, f->begun), f->begun % TREES, flips, sums, room_for(f, y, count));
    keep(f, y, count);
    trees_done(f, ++f->begun);
}

void sotto_ferret_take(sotto_ferret *f, const uint8_t *sums, size_t count, sotto_block *z)
{
    tree_take(f, round_of(f, f->taken), f->taken % TREES, f->places[f->taken], sums, room_for(f, z, count));
    keep(f, z, count);
    f->places[f->taken] = 0;
    trees_done(f, ++f->taken);
}
