/* Status codes and the message that goes with a failure.
 *
 * Every function of the library that can fail returns a sotto_status as int:
 * SOTTO_OK (zero) or one of the negatives below. The function that first
 * notices a failure calls sotto_fail(), which stores a sentence for a person
 * (which file or field, what was found, what to do) in a thread-local buffer;
 * callers above only pass the code on. The message never holds a secret.
 */
#ifndef SOTTO_LIB_ERR_H
#define SOTTO_LIB_ERR_H

#define SOTTO_MUST_CHECK __attribute__((warn_unused_result))

typedef enum sotto_status {
    SOTTO_OK = 0,
    SOTTO_ERR_ARG = -1,         /* the caller broke a documented precondition; never caused by a peer or a file */
    SOTTO_ERR_MEMORY = -2,      /* allocation failed, or a size overflowed */
    SOTTO_ERR_RNG = -3,         /* the randomness source failed; nothing was produced */
    SOTTO_ERR_IO = -4,          /* a file or socket operation failed: no such file, full disk, port in use */
    SOTTO_ERR_CLOSED = -5,      /* the peer closed the connection (untrusted input may cause it) */
    SOTTO_ERR_TIMEOUT = -6,     /* the peer stalled past the timeout (untrusted input may cause it) */
    SOTTO_ERR_FORMAT = -7,      /* bytes do not parse (untrusted input may cause it) */
    SOTTO_ERR_VERSION = -8,     /* well-formed, but of a version that this build does not speak (untrusted) */
    SOTTO_ERR_CHECKSUM = -9,    /* stored checksum and content disagree (untrusted) */
    SOTTO_ERR_LIMIT = -10,      /* a length, count or size above its limit (untrusted) */
    SOTTO_ERR_MISMATCH = -11,   /* two valid things that do not belong together: model and weights, image and model (untrusted) */
    SOTTO_ERR_PARAMS = -12,     /* a parameter set or plan refused: security, noise or range (untrusted) */
    SOTTO_ERR_USED = -13,       /* single-use prepared material was asked for a second time (untrusted) */
    SOTTO_ERR_PROTOCOL = -14,   /* a message of the wrong type or out of order (untrusted) */
    SOTTO_ERR_PEER = -15,       /* the peer reported that it gave up (untrusted) */
    SOTTO_ERR_UNSUPPORTED = -16 /* valid, but outside what this build can do (untrusted) */
} sotto_status;

/* Short constant name of a code, "SOTTO_ERR_IO"; "unknown status" for anything else. Never NULL. */
const char *sotto_status_name(int status);

/* Stores the printf-formatted message (cut at 511 bytes) for this thread and returns `status`, so that
 * `return sotto_fail(SOTTO_ERR_IO, "...")` is one statement. Never pass a secret. */
int sotto_fail(int status, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* As sotto_fail, but puts "<formatted prefix>: " before the message that is stored already; for a caller that
 * knows the file or the layer where the callee knew only the field. Returns `status`. */
int sotto_fail_context(int status, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The last message stored on this thread, "" if none. Valid until the next failure on this thread. */
const char *sotto_error_message(void);

#endif
