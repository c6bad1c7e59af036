#include "proxy/anchors.h"

#include <stdlib.h>

#include "base/log.h"

enum {
    MOST_SETS = 64,  // of roots, made of what one host needs
    MOST_PATHS = 32, // in one of them
};

struct file {
    struct span path, pem; // owned
};

struct set {
    size_t count;
    size_t files[MOST_PATHS]; // indexes, in order
    struct verify_roots *roots;
};

struct anchors {
    struct verify_roots *system; // NULL: none
    struct file *files;
    size_t file_count;
    struct set sets[MOST_SETS];
    size_t set_count;
};

static struct span copy(struct span text)
{
    char *to = malloc(text.size + 1);

    if (!to)
        abort(); // out of memory ends the worker; the master starts another
    if (text.size > 0)
        memcpy(to, text.at, text.size);
    return span_of(to, text.size);
}

/* Is there anything good in it? Said now, and not when a host first needs it. */
static enum error_kind check(const struct anchors *anchors, const struct proxy_trust_file *file,
                             struct error *error)
{
    struct verify_roots *roots = NULL;
    struct error why;
    enum error_kind kind = verify_roots_new(&roots, anchors->system, file->pem, &why);

    verify_roots_unref(&roots);
    if (kind != ERROR_NONE)
        return error_set(error, kind, "extra_ca %.*s: %s", SPAN_PRINT(file->path), why.text);
    return ERROR_NONE;
}

enum error_kind anchors_new(struct anchors **out, const struct proxy_trust *trust,
                            struct error *error)
{
    struct anchors *anchors = calloc(1, sizeof *anchors);
    enum error_kind kind = ERROR_NONE;

    if (!anchors)
        abort(); // out of memory ends the worker; the master starts another
    if (trust->roots.size > 0)
        kind = verify_roots_new(&anchors->system, NULL, trust->roots, error);
    anchors->files = calloc(trust->file_count + 1, sizeof *anchors->files);
    if (!anchors->files)
        abort(); // the same
    for (size_t i = 0; i < trust->file_count && kind == ERROR_NONE; i++) {
        kind = check(anchors, &trust->files[i], error);
        anchors->files[i].path = copy(trust->files[i].path);
        anchors->files[i].pem = copy(trust->files[i].pem);
        anchors->file_count++;
    }
    if (kind != ERROR_NONE)
        anchors_free(&anchors);
    else
        *out = anchors;
    return kind;
}

void anchors_free(struct anchors **anchors)
{
    struct anchors *old = *anchors;

    *anchors = NULL;
    if (!old)
        return;
    for (size_t i = 0; i < old->file_count; i++) {
        free((char *)old->files[i].path.at);
        free((char *)old->files[i].pem.at);
    }
    free(old->files);
    for (size_t i = 0; i < old->set_count; i++)
        verify_roots_unref(&old->sets[i].roots);
    verify_roots_unref(&old->system);
    free(old);
}

static void want(const struct anchors *anchors, const struct config_texts *paths, struct set *set)
{
    for (size_t i = 0; i < paths->count; i++)
        for (size_t f = 0; f < anchors->file_count; f++) {
            size_t known = 0;

            if (!span_equal(anchors->files[f].path, paths->items[i]))
                continue;
            while (known < set->count && set->files[known] != f)
                known++;
            if (known == set->count && set->count < MOST_PATHS)
                set->files[set->count++] = f;
        }
}

static struct verify_roots *make(const struct anchors *anchors, const struct set *set)
{
    struct verify_roots *roots = anchors->system ? verify_roots_ref(anchors->system) : NULL;

    for (size_t i = 0; i < set->count; i++) {
        struct verify_roots *more = NULL;
        struct error error;

        if (verify_roots_new(&more, roots, anchors->files[set->files[i]].pem, &error)) {
            log_warning("extra_ca %.*s is passed over: %s",
                        SPAN_PRINT(anchors->files[set->files[i]].path), error.text);
            continue;
        }
        verify_roots_unref(&roots);
        roots = more;
    }
    return roots;
}

struct verify_roots *anchors_for(struct anchors *anchors, const struct settings *settings,
                                 struct span host)
{
    const struct config *config = settings->config;
    struct set wanted = { .count = 0 };

    want(anchors, &config->extra_ca, &wanted);
    for (size_t i = 0; i < config->site_count; i++)
        if (config->sites[i].extra_ca.count > 0 &&
            span_matches_wildcard(host, config->sites[i].pattern))
            want(anchors, &config->sites[i].extra_ca, &wanted);
    if (wanted.count == 0)
        return anchors->system;
    for (size_t i = 0; i < anchors->set_count; i++) {
        const struct set *set = &anchors->sets[i];

        if (set->count == wanted.count &&
            memcmp(set->files, wanted.files, wanted.count * sizeof *wanted.files) == 0)
            return set->roots;
    }
    if (anchors->set_count == MOST_SETS) {
        log_warning("more than %d sets of extra_ca: %.*s is held against the system's roots alone",
                    MOST_SETS, SPAN_PRINT(host));
        return anchors->system;
    }
    wanted.roots = make(anchors, &wanted);
    anchors->sets[anchors->set_count++] = wanted;
    return wanted.roots;
}
