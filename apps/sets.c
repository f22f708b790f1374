/* What is found by name: data sets with the names of their classes, and architectures. */
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "apps/commands.h"
#include "lib/mem.h"

/* ---- data sets ---------------------------------------------------------------------------------------------------------- */

static const char *const fashion_names[] = {"T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"};
static const char *const mnist_names[] = {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"};
static const char *const cifar10_names[] = {"airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"};
static const char *const cifar100_names[] = {
    "apple", "aquarium fish", "baby", "bear", "beaver", "bed", "bee", "beetle", "bicycle", "bottle", "bowl", "boy", "bridge", "bus", "butterfly", "camel",
    "can", "castle", "caterpillar", "cattle", "chair", "chimpanzee", "clock", "cloud", "cockroach", "couch", "crab", "crocodile", "cup", "dinosaur",
    "dolphin", "elephant", "flatfish", "forest", "fox", "girl", "hamster", "house", "kangaroo", "keyboard", "lamp", "lawn mower", "leopard", "lion",
    "lizard", "lobster", "man", "maple tree", "motorcycle", "mountain", "mouse", "mushroom", "oak tree", "orange", "orchid", "otter", "palm tree", "pear",
    "pickup truck", "pine tree", "plain", "plate", "poppy", "porcupine", "possum", "rabbit", "raccoon", "ray", "road", "rocket", "rose", "sea", "seal",
    "shark", "shrew", "skunk", "skyscraper", "snail", "snake", "spider", "squirrel", "streetcar", "sunflower", "sweet pepper", "table", "tank",
    "telephone", "television", "tiger", "tractor", "train", "trout", "tulip", "turtle", "wardrobe", "whale", "willow tree", "wolf", "woman", "worm"};

#define KRIZHEVSKY "https://www.cs.toronto.edu/~kriz/cifar.html"
#define COUNT(a) (sizeof(a) / sizeof *(a))

/* ---- a folder of pictures --------------------------------------------------------------------------------------------------- */

#define PICTURES_BYTES_MAX ((uint64_t)1 << 33)

static int is_picture(const struct dirent *e)
{
    return e->d_name[0] >= '0' && e->d_name[0] <= '9';
}

static int read_picture(sotto_dataset *d, size_t i, const char *path, const char *name)
{
    uint8_t *pixels = NULL;
    const unsigned long class = strtoul(name, NULL, 10);
    if (class >= SOTTO_CLASSES_MAX) {
        return sotto_fail(SOTTO_ERR_FORMAT, "%s: names begin with the number of a class, below %d", path, SOTTO_CLASSES_MAX);
    }
    const int status = image_read(path, d->shape, IMAGE_EXACT, &pixels);
    if (status == SOTTO_OK) {
        memcpy(d->images + i * sotto_shape_words(d->shape), pixels, sotto_shape_words(d->shape));
        sotto_free(pixels);
        d->labels[i] = (uint16_t)class;
        d->classes = class >= d->classes ? class + 1 : d->classes;
    }
    return status;
}

/* All in order of their names, and of the size that the first one has. */
static int read_pictures(sotto_dataset *d, const char *folder, struct dirent **entries, size_t count)
{
    char path[1400];
    int status = SOTTO_OK;
    for (size_t i = 0; i < count && status == SOTTO_OK; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, entries[i]->d_name);
        if (i == 0) {
            status = image_shape(path, &d->shape);
            const uint64_t words = status == SOTTO_OK ? sotto_shape_words(d->shape) : 1;
            if (count > PICTURES_BYTES_MAX / words) {
                status = sotto_fail(SOTTO_ERR_LIMIT, "%s: %zu pictures are more than %d GiB; give fewer", folder, count, (int)(PICTURES_BYTES_MAX >> 30));
            }
            if (status == SOTTO_OK) {
                d->images = sotto_calloc(count, (size_t)words);
                d->labels = sotto_calloc(count, sizeof *d->labels);
                status = d->images == NULL || d->labels == NULL ? sotto_fail(SOTTO_ERR_MEMORY, "no memory for %zu pictures", count) : SOTTO_OK;
            }
        }
        if (status == SOTTO_OK) {
            status = read_picture(d, i, path, entries[i]->d_name);
        }
    }
    d->count = status == SOTTO_OK ? count : 0;
    return status;
}

static int dataset_pictures(sotto_dataset *d, const char *folder, int train)
{
    char half[1100];
    struct dirent **entries = NULL;
    snprintf(half, sizeof half, "%.1023s/%s", folder, train ? "train" : "test");
    if (access(half, R_OK) != 0) { /* one folder for both halves */
        snprintf(half, sizeof half, "%.1023s", folder);
    }
    memset(d, 0, sizeof *d);
    const int count = scandir(half, &entries, is_picture, alphasort);
    int status = count > 0 ? SOTTO_OK : sotto_fail(SOTTO_ERR_IO, "%s: no pictures whose names begin with a digit", half);
    if (status == SOTTO_OK) {
        status = read_pictures(d, half, entries, (size_t)count);
    }
    for (int i = 0; i < count; i++) {
        free(entries[i]);
    }
    free(entries);
    if (status != SOTTO_OK) {
        sotto_dataset_free(d);
    }
    return status;
}

/* ---- by name ---------------------------------------------------------------------------------------------------------------- */

static const struct set {
    const char *name;
    int (*read)(sotto_dataset *d, const char *folder, int train);
    const char *folder; /* within $SOTTO_DATA; NULL: read() knows where to look */
    const char *fetch;  /* for a person who has it not */
    const char *const *classes;
    size_t class_count;
} sets[] = {
    {"fashion", sotto_dataset_fashion, NULL, "install the Debian package dataset-fashion-mnist", fashion_names, COUNT(fashion_names)},
    {"mnist", sotto_dataset_fashion, "mnist", "fetch the four files from http://yann.lecun.com/exdb/mnist/", mnist_names, COUNT(mnist_names)},
    {"cifar10", sotto_dataset_cifar10, "cifar-10-batches-bin", "fetch the binary version from " KRIZHEVSKY " and unpack it", cifar10_names,
     COUNT(cifar10_names)},
    {"cifar100", sotto_dataset_cifar100, "cifar-100-binary", "fetch the binary version from " KRIZHEVSKY " and unpack it", cifar100_names,
     COUNT(cifar100_names)},
    {"pictures", dataset_pictures, "pictures", "put pictures of one size there, named by the number of their class, as 7-cat.png", NULL, 0},
};

/* NULL with a message when there is no such set; *folder: what stands behind the colon, NULL without one. */
static const struct set *set_find(const char *spec, const char **folder)
{
    const size_t len = strcspn(spec, ":");
    *folder = spec[len] == ':' ? spec + len + 1 : NULL;
    for (size_t i = 0; i < COUNT(sets); i++) {
        if (strlen(sets[i].name) == len && memcmp(sets[i].name, spec, len) == 0) {
            return &sets[i];
        }
    }
    (void)sotto_fail(SOTTO_ERR_ARG, "data set '%s'; expected fashion, mnist, cifar10, cifar100 or pictures, each also as NAME:FOLDER", spec);
    return NULL;
}

int dataset_open(sotto_dataset *d, const char *spec, int train)
{
    const char *folder, *data = getenv("SOTTO_DATA");
    const struct set *s = set_find(spec, &folder);
    char path[1024], reason[512];
    memset(d, 0, sizeof *d);
    if (s == NULL) {
        return SOTTO_ERR_ARG;
    }
    if (folder == NULL && s->folder != NULL) {
        if (data == NULL) {
            return sotto_fail(SOTTO_ERR_IO, "data set %s: no folder given; %s, then give %s:FOLDER, or set SOTTO_DATA to the folder that holds %s", s->name,
                              s->fetch, s->name, s->folder);
        }
        snprintf(path, sizeof path, "%s/%s", data, s->folder);
        folder = path;
    }
    const int status = s->read(d, folder, train);
    if (status != SOTTO_ERR_IO) {
        return status;
    }
    snprintf(reason, sizeof reason, "%s", sotto_error_message());
    return sotto_fail(status, "%s; the %s images of %s are missing: %s, or give %s:FOLDER", reason, train ? "training" : "test", s->name, s->fetch, s->name);
}

int labels_from_set(sotto_model *m, const char *spec)
{
    const char *folder;
    const struct set *s = set_find(spec, &folder);
    if (s == NULL) {
        return SOTTO_ERR_ARG;
    }
    if (m->label_count != 0 || m->node_count == 0 || sotto_shape_words(m->nodes[m->node_count - 1].shape) != s->class_count) {
        return SOTTO_OK;
    }
    char(*labels)[SOTTO_NAME_MAX] = sotto_calloc(s->class_count, sizeof *labels);
    if (labels == NULL) {
        return sotto_fail(SOTTO_ERR_MEMORY, "no memory for the names of classes");
    }
    for (size_t i = 0; i < s->class_count; i++) {
        snprintf(labels[i], sizeof labels[i], "%s", s->classes[i]);
    }
    sotto_free(m->labels);
    m->labels = labels;
    m->label_count = s->class_count;
    return SOTTO_OK;
}

/* ---- architectures ------------------------------------------------------------------------------------------------------ */

#define ARCH_SUFFIX ".arch"

/* Folders that hold architectures: beside the installed program, in the source tree around it, in the source tree that is the working folder. */
static int arch_folder(char *out, size_t cap, unsigned which)
{
    static const char *const below[] = {"../share/sotto/arch", "../nn/arch"};
    char self[768];
    if (which == COUNT(below)) {
        snprintf(out, cap, "nn/arch");
        return 1;
    }
    const ssize_t len = which < COUNT(below) ? readlink("/proc/self/exe", self, sizeof self - 1) : -1;
    if (len <= 0) {
        out[0] = '\0';
        return which < COUNT(below);
    }
    self[len] = '\0';
    char *slash = strrchr(self, '/');
    *(slash == NULL ? self : slash) = '\0';
    snprintf(out, cap, "%s/%s", self, below[which]);
    return 1;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(a, b);
}

/* "lenet, minionn, ..." of the first folder that has any. */
static void arch_list(char *out, size_t cap)
{
    char folder[1024], names[128][64];
    size_t count = 0, pos = 0;
    for (unsigned which = 0; count == 0 && arch_folder(folder, sizeof folder, which); which++) {
        DIR *dir = opendir(folder);
        for (const struct dirent *e = dir == NULL ? NULL : readdir(dir); e != NULL && count < COUNT(names); e = readdir(dir)) {
            const size_t len = strlen(e->d_name), suffix = sizeof ARCH_SUFFIX - 1;
            if (len > suffix && len - suffix < sizeof names[0] && strcmp(e->d_name + len - suffix, ARCH_SUFFIX) == 0) {
                snprintf(names[count++], sizeof names[0], "%.*s", (int)(len - suffix), e->d_name);
            }
        }
        if (dir != NULL) {
            closedir(dir);
        }
    }
    qsort(names, count, sizeof names[0], by_name);
    out[0] = '\0';
    for (size_t i = 0; i < count; i++) {
        const int n = snprintf(out + pos, cap - pos, "%s%s", i > 0 ? ", " : "", names[i]);
        pos += n > 0 && (size_t)n < cap - pos ? (size_t)n : 0;
    }
}

int arch_path(char path[ARCH_PATH_MAX], const char *name)
{
    char folder[768], known[400];
    const size_t len = strlen(name);
    if (len == 0 || len >= ARCH_PATH_MAX / 4) {
        return sotto_fail(SOTTO_ERR_ARG, "--arch %.40s: expected a path or a name of up to %d characters", name, ARCH_PATH_MAX / 4 - 1);
    }
    snprintf(path, ARCH_PATH_MAX, "%s", name);
    struct stat st;
    if (strchr(name, '/') != NULL || (stat(name, &st) == 0 && S_ISREG(st.st_mode))) {
        return SOTTO_OK;
    }
    for (unsigned which = 0; arch_folder(folder, sizeof folder, which); which++) {
        snprintf(path, ARCH_PATH_MAX, "%s/%s" ARCH_SUFFIX, folder, name);
        if (access(path, R_OK) == 0) {
            return SOTTO_OK;
        }
    }
    path[0] = '\0';
    arch_list(known, sizeof known);
    return sotto_fail(SOTTO_ERR_IO, "--arch %s: neither a file nor one of those that come with sotto: %s", name, known[0] != '\0' ? known : "(none found)");
}
