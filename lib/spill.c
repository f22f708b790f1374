#include "lib/spill.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "lib/mem.h"

/* Not /tmp, which on many systems is memory. */
static const char *spill_folder(void)
{
    const char *folder = getenv("TMPDIR");
    return folder != NULL && folder[0] != '\0' ? folder : "/var/tmp";
}

int sotto_spill_file(int *fd, const char *folder)
{
    static const char name[] = "/sotto-XXXXXX";
    folder = folder == NULL ? spill_folder() : folder;
    const size_t len = strlen(folder) + sizeof name;
    char *path = sotto_calloc(len, 1);
    *fd = -1;
    if (path == NULL) {
        return sotto_fail(SOTTO_ERR_MEMORY, "no memory for the name of a temporary file");
    }
    (void)snprintf(path, len, "%s%s", folder, name);
    *fd = mkostemp(path, O_CLOEXEC);
    int status = SOTTO_OK;
    if (*fd >= 0) {
        (void)unlink(path);
    } else {
        status = sotto_fail(SOTTO_ERR_IO, "cannot make a temporary file in \"%s\": %s; set TMPDIR to a folder that can be written", folder, strerror(errno));
    }
    sotto_free(path);
    return status;
}

static int no_room(size_t bytes, int error)
{
    return sotto_fail(SOTTO_ERR_IO, "cannot keep %zu bytes in a temporary file in \"%s\": %s; set TMPDIR to a folder with more room, or allow more memory",
                      bytes, spill_folder(), strerror(error));
}

/* Beyond the limit of this process for files the system would send a signal that ends it. */
static int file_limit(size_t bytes)
{
    struct rlimit limit;
    return getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY && bytes > limit.rlim_cur ? EFBIG : 0;
}

static int take_blocks(int fd, size_t bytes)
{
    int error;
    do {
        error = posix_fallocate(fd, 0, (off_t)bytes);
    } while (error == EINTR);
    return error;
}

static int map_file(sotto_spill *s, size_t bytes)
{
    int fd;
    const int status = sotto_spill_file(&fd, NULL);
    if (status != SOTTO_OK) {
        return status;
    }
    int error = bytes > PTRDIFF_MAX ? EFBIG : file_limit(bytes);
    error = error == 0 ? take_blocks(fd, bytes) : error;
    void *data = MAP_FAILED;
    if (error == 0) {
        data = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        error = data == MAP_FAILED ? errno : 0;
    }
    (void)close(fd); /* the mapping keeps the file */
    if (error != 0) {
        return no_room(bytes, error);
    }
    *s = (sotto_spill){data, bytes, 1};
    return SOTTO_OK;
}

int sotto_spill_new(sotto_spill *s, size_t bytes, size_t *room)
{
    memset(s, 0, sizeof *s);
    if (bytes > *room) {
        return map_file(s, bytes);
    }
    s->data = sotto_calloc(bytes, 1);
    if (s->data == NULL) {
        return sotto_fail(SOTTO_ERR_MEMORY, "no memory for %zu bytes", bytes);
    }
    s->bytes = bytes;
    *room -= bytes;
    return SOTTO_OK;
}

void sotto_spill_rest(const sotto_spill *s)
{
    if (s->in_file) { /* of a shared mapping the pages go back to the file, contents and all */
        (void)madvise(s->data, s->bytes, MADV_DONTNEED);
    }
}

void sotto_spill_free(sotto_spill *s)
{
    if (s->in_file) {
        (void)munmap(s->data, s->bytes);
    } else {
        sotto_free(s->data);
    }
    memset(s, 0, sizeof *s);
}
