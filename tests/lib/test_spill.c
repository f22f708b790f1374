/* Arrays in memory and in files: the room, contents through rest, no name left behind, every way in which there is no place. */
#include "lib/spill.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "lib/mem.h"
#include "tests/lib/deny.h"
#include "tests/support/support.h"

static char folder[] = "/tmp/sotto-test-spill-XXXXXX";

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) == NULL || setenv("TMPDIR", folder, 1) != 0;
}

static int remove_folder(void **state)
{
    (void)state;
    return rmdir(folder); /* fails when anything was left in it */
}

static size_t entries(void)
{
    size_t n = 0;
    DIR *d = opendir(folder);
    assert_non_null(d);
    while (readdir(d) != NULL) {
        n++;
    }
    closedir(d);
    return n - 2; /* itself and its parent */
}

static int descriptors(void)
{
    const int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    close(fd);
    return fd;
}

static void test_room(void **state)
{
    (void)state;
    size_t room = 1000;
    sotto_spill a, b, c, none;
    assert_ok(sotto_spill_new(&a, 600, &room));
    assert_int_equal(400, room);
    assert_ok(sotto_spill_new(&b, 401, &room));
    assert_int_equal(400, room);
    assert_ok(sotto_spill_new(&c, 400, &room));
    assert_int_equal(0, room);
    assert_ok(sotto_spill_new(&none, 0, &room));
    assert_true(!a.in_file && b.in_file && !c.in_file && !none.in_file);
    assert_non_null(none.data);
    sotto_spill_free(&a);
    sotto_spill_free(&b);
    sotto_spill_free(&c);
    sotto_spill_free(&none);
    sotto_spill_free(&none); /* zero now */
    assert_null(a.data);
}

static void test_contents(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 63, 4095, 4096, 4097, 100000, 3 << 20};
    const sotto_rng rng = test_rng(test_seed(), 1);
    const int free_descriptor = descriptors();
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        const size_t n = sizes[k];
        for (int in_file = 0; in_file < 2; in_file++) {
            size_t room = in_file ? 0 : n;
            uint8_t *want = calloc(n, 1);
            sotto_spill s;
            assert_non_null(want);
            assert_ok(sotto_spill_new(&s, n, &room));
            assert_true(s.in_file == in_file && s.bytes == n && (uintptr_t)s.data % 64 == 0);
            assert_memory_equal(s.data, want, n);
            assert_int_equal(0, entries());
            assert_int_equal(free_descriptor, descriptors());
            for (size_t i = 0; i < 3; i++) { /* written, let go, changed */
                const size_t at = test_below(&rng, n), len = 1 + test_below(&rng, n - at);
                assert_ok(sotto_rng_fill(&rng, want + at, len));
                memcpy(s.data + at, want + at, len);
                sotto_spill_rest(&s);
                assert_memory_equal(s.data, want, n);
            }
            sotto_spill_free(&s);
            free(want);
        }
    }
}

/* Pages of this process in memory. */
static long resident(void)
{
    long total = 0, here = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    assert_non_null(f);
    assert_int_equal(2, fscanf(f, "%ld %ld", &total, &here));
    fclose(f);
    return here;
}

static void test_rest_gives_memory_back(void **state)
{
    (void)state;
    enum { BYTES = 32 << 20 };
    const long page = sysconf(_SC_PAGESIZE), before = resident();
    size_t room = 0;
    sotto_spill s;
    assert_ok(sotto_spill_new(&s, BYTES, &room));
    memset(s.data, 7, BYTES);
    assert_true((resident() - before) * page > BYTES / 2);
    sotto_spill_rest(&s);
    assert_true((resident() - before) * page < BYTES / 4);
    assert_int_equal(7, s.data[BYTES / 2]);
    sotto_spill_free(&s);
}

static void test_own_folder(void **state)
{
    (void)state;
    int fd;
    struct stat about;
    assert_ok(sotto_spill_file(&fd, "/tmp"));
    assert_int_equal(0, fstat(fd, &about));
    assert_int_equal(0, about.st_nlink);
    assert_int_equal(S_IRUSR | S_IWUSR, about.st_mode & 0777);
    assert_true((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
    close(fd);
    assert_status(SOTTO_ERR_IO, sotto_spill_file(&fd, "/nonexistent/folder"));
    assert_int_equal(-1, fd);
    assert_non_null(strstr(sotto_error_message(), "/nonexistent/folder"));
}

/* Refused, nothing taken; the message has `says`. */
static void refused(int status, size_t bytes, const char *says)
{
    size_t room = 10;
    sotto_spill s;
    const int free_descriptor = descriptors();
    assert_status(status, sotto_spill_new(&s, bytes, &room));
    assert_true(room == 10 && s.data == NULL && s.bytes == 0 && !s.in_file);
    assert_non_null(strstr(sotto_error_message(), says));
    assert_int_equal(free_descriptor, descriptors());
    assert_int_equal(0, entries());
}

static void test_refused(void **state)
{
    (void)state;
    refused(SOTTO_ERR_IO, SIZE_MAX, folder);
    refused(SOTTO_ERR_IO, (size_t)1 << 62, folder);
    sotto_calloc_fail_after(0);
    refused(SOTTO_ERR_MEMORY, 100, "temporary file");
    sotto_calloc_fail_after(0);
    refused(SOTTO_ERR_MEMORY, 10, "10 bytes");
    sotto_calloc_fail_after(-1);
    assert_int_equal(0, setenv("TMPDIR", "/nonexistent/folder", 1));
    refused(SOTTO_ERR_IO, 100, "/nonexistent/folder");
    assert_int_equal(0, setenv("TMPDIR", "/proc", 1)); /* where not even root makes files */
    refused(SOTTO_ERR_IO, 100, "/proc");
    assert_int_equal(0, setenv("TMPDIR", "", 1)); /* as if it were not there */
    size_t room = 0;
    sotto_spill s;
    assert_ok(sotto_spill_new(&s, 100, &room));
    sotto_spill_free(&s);
    assert_int_equal(0, setenv("TMPDIR", folder, 1));
}

/* ---- in children, which are changed for good ------------------------------------------------------------------------ */

static int one_spill(size_t bytes)
{
    size_t room = 0;
    sotto_spill s;
    const int status = sotto_spill_new(&s, bytes, &room);
    sotto_spill_free(&s);
    return status;
}

/* No signal, which would end the process. */
static int below_a_limit(void)
{
    const struct rlimit limit = {1 << 16, 1 << 16};
    return setrlimit(RLIMIT_FSIZE, &limit) == 0 && one_spill(1 << 16) == SOTTO_OK && one_spill((1 << 16) + 1) == SOTTO_ERR_IO &&
                   strstr(sotto_error_message(), "65537 bytes") != NULL
               ? 0
               : 1;
}

static int on_a_full_disk(void)
{
    return !deny_syscall(__NR_fallocate, ENOSPC) ? CHILD_CANNOT_TEST
           : one_spill(100000) == SOTTO_ERR_IO && strstr(sotto_error_message(), strerror(ENOSPC)) != NULL && strstr(sotto_error_message(), folder) != NULL ? 0
                                                                                                                                                           : 1;
}

/* Some file systems cannot promise blocks; there the C library writes to each. */
static int without_promises(void)
{
    return !deny_syscall(__NR_fallocate, EOPNOTSUPP) ? CHILD_CANNOT_TEST : one_spill(100000) == SOTTO_OK ? 0 : 1;
}

static int without_mappings(void)
{
    return !deny_syscall(__NR_mmap, ENOMEM) ? CHILD_CANNOT_TEST : one_spill(100000) == SOTTO_ERR_IO ? 0 : 1;
}

static void test_children(void **state)
{
    (void)state;
    int (*const bodies[])(void) = {below_a_limit, on_a_full_disk, without_promises, without_mappings};
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        const int result = run_in_child(bodies[i]);
        assert_true(result == 0 || result == CHILD_CANNOT_TEST);
    }
    assert_int_equal(0, entries());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_room),     cmocka_unit_test(test_contents), cmocka_unit_test(test_rest_gives_memory_back),
        cmocka_unit_test(test_own_folder), cmocka_unit_test(test_refused),  cmocka_unit_test(test_children),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
