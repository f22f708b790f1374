/* The targets by name; the table in fuzz.c lists them. */
#ifndef SOTTO_TESTS_FUZZ_TARGETS_H
#define SOTTO_TESTS_FUZZ_TARGETS_H

#include "tests/fuzz/fuzz.h"

/* lattice.c */
extern const fuzz_target fuzz_bytes, fuzz_public_key, fuzz_seeded, fuzz_ciphertext, fuzz_secret_key, fuzz_switch_key, fuzz_galois_keys, fuzz_answer;
/* files.c */
extern const fuzz_target fuzz_text, fuzz_network, fuzz_weights, fuzz_idx, fuzz_cifar, fuzz_cifar100, fuzz_image;
/* own.c */
extern const fuzz_target fuzz_costs, fuzz_checkpoint;
/* onnx.c */
extern const fuzz_target fuzz_onnx;
/* circuits.c */
extern const fuzz_target fuzz_bristol;
/* sessions.c */
extern const fuzz_target fuzz_frame, fuzz_server, fuzz_client;

#endif
