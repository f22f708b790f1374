/* Inside lib/bytes: packing in 512-bit registers, for whole groups of eight words, which fill `width` bytes. To be called only on the tier SOTTO_TIER_IFMA. */
#ifndef SOTTO_LIB_BYTES_KERNEL_H
#define SOTTO_LIB_BYTES_KERNEL_H

#include <stddef.h>
#include <stdint.h>

#if defined(__x86_64__)
/* Contracts: sotto_pack and sotto_unpack, for the first words of an array; return how many were done, a multiple of 8. The rest is the caller's. */
size_t sotto_pack_vbmi(uint8_t *out, const uint64_t *in, size_t count, unsigned width);
size_t sotto_unpack_vbmi(uint64_t *out, const uint8_t *in, size_t count, unsigned width);
#endif

#endif
