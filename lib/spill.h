/* Memory that may lie in a file: large arrays which need not stay in memory from the time that they are filled to the time that they are read.
 *
 * The file is a temporary one without a name in $TMPDIR, else /var/tmp, readable by this user alone, and is gone with its mapping, also when the process
 * dies. All its blocks are taken before it is used, so that a full disk is an error of sotto_spill_new and no signal later, on file systems that write a block where it was taken (ext4, xfs, tmpfs; where
 * blocks are copied or compressed when written, or lie on another machine, SIGBUS stays possible). What is in it reaches the disk
 * as it is and stays there until something else is written over it: not for secrets.
 */
#ifndef SOTTO_LIB_SPILL_H
#define SOTTO_LIB_SPILL_H

#include <stddef.h>
#include <stdint.h>

#include "lib/err.h"

typedef struct sotto_spill {
    uint8_t *data; /* `bytes` of them, zero at first; aligned to 64 bytes */
    size_t bytes;
    int in_file;
} sotto_spill;

/* In memory where `bytes` fit *room, of which it takes them away; else in a file. SOTTO_ERR_MEMORY, SOTTO_ERR_IO (no such folder, no right to write there,
 * no room left on the disk or below the user's limit for files), the message naming folder and bytes; *s is then zero and *room as it was. */
SOTTO_MUST_CHECK int sotto_spill_new(sotto_spill *s, size_t bytes, size_t *room);
/* Lets go of the memory that a file's contents occupy at present; they come back when they are read. */
void sotto_spill_rest(const sotto_spill *s);
/* Of zero it does nothing. Does not wipe. */
void sotto_spill_free(sotto_spill *s);

/* A temporary file without a name in `folder`, NULL: where spills are, for reading and writing. SOTTO_ERR_IO, SOTTO_ERR_MEMORY; *fd is -1 then. */
SOTTO_MUST_CHECK int sotto_spill_file(int *fd, const char *folder);

#endif
