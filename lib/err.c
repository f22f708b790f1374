#include "lib/err.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define MESSAGE_SIZE 512

static _Thread_local char message[MESSAGE_SIZE];

const char *sotto_status_name(int status)
{
#define NAME(s) [-(s)] = #s
    static const char *const names[] = {
        NAME(SOTTO_OK),           NAME(SOTTO_ERR_ARG),      NAME(SOTTO_ERR_MEMORY),   NAME(SOTTO_ERR_RNG),
        NAME(SOTTO_ERR_IO),       NAME(SOTTO_ERR_CLOSED),   NAME(SOTTO_ERR_TIMEOUT),  NAME(SOTTO_ERR_FORMAT),
        NAME(SOTTO_ERR_VERSION),  NAME(SOTTO_ERR_CHECKSUM), NAME(SOTTO_ERR_LIMIT),    NAME(SOTTO_ERR_MISMATCH),
        NAME(SOTTO_ERR_PARAMS),   NAME(SOTTO_ERR_USED),     NAME(SOTTO_ERR_PROTOCOL), NAME(SOTTO_ERR_PEER),
        NAME(SOTTO_ERR_UNSUPPORTED),
    };
#undef NAME
    const int count = (int)(sizeof names / sizeof names[0]);

    return status <= 0 && status > -count ? names[-status] : "unknown status";
}

/* The arguments may point into `message` itself, so both writers format into a buffer of their own first. */
int sotto_fail(int status, const char *format, ...)
{
    char text[MESSAGE_SIZE] = "";
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    memcpy(message, text, sizeof text);
    return status;
}

/* As much of `tail` as fits. */
static void append(char text[MESSAGE_SIZE], const char *tail)
{
    const size_t used = strlen(text), room = MESSAGE_SIZE - 1 - used, len = strlen(tail);
    const size_t n = len < room ? len : room;

    memcpy(text + used, tail, n);
    text[used + n] = 0;
}

int sotto_fail_context(int status, const char *format, ...)
{
    char text[MESSAGE_SIZE] = "";
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (message[0])
        append(text, ": ");
    append(text, message);
    memcpy(message, text, sizeof text);
    return status;
}

const char *sotto_error_message(void)
{
    return message;
}
