/* Makes system calls of this process fail, for children that test how the library bears it. */
#ifndef SOTTO_TESTS_LIB_DENY_H
#define SOTTO_TESTS_LIB_DENY_H

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CHILD_CANNOT_TEST = 77 };

/* From now on system call `number` fails with `code` in this process, for good. 0 when the system allows no filters. */
static inline int deny_syscall(unsigned number, unsigned code)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | code),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof filter / sizeof filter[0], filter};

    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

/* Runs `body` in a child process and returns its result: 0 is success; -1 when the child died otherwise. */
static inline int run_in_child(int (*body)(void))
{
    int state = 0;
    const pid_t child = fork();

    if (child == 0)
        _exit(body());
    if (child < 0 || waitpid(child, &state, 0) != child || !WIFEXITED(state))
        return -1;
    return WEXITSTATUS(state);
}

#endif
