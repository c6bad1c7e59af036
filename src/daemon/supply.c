#include "daemon/supply.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/keep.h"
#include "base/log.h"
#include "base/table.h"
#include "daemon/installation.h"
#include "proxy/anchors.h"
#include "proxy/learned.h"
#include "trust/browser.h"

#define ROOTS "roots"
#define LIST "no-intercept"

_Static_assert((int)MESSAGE_TICKET_KEYS == (int)BROWSER_TICKET_KEYS &&
                   sizeof(struct browser_ticket_key) == MESSAGE_TICKET_KEY_BYTES,
               "tickets travel as they are");

/* ---- packing ---- */

struct packing {
    struct config_sources texts;
    struct proxy_trust_file files[SUPPLY_FILES];
    size_t file_count;
};

static enum error_kind put(struct packing *packing, struct span name, struct span text,
                           struct error *error)
{
    struct config_source *item = &packing->texts.items[packing->texts.count];

    item->name = arena_copy(&packing->texts.arena, name);
    item->text = arena_copy(&packing->texts.arena, text);
    if (!item->name.at || !item->text.at)
        return error_set(error, ERROR_LIMIT, "the files of extra_ca are too large in all");
    packing->texts.count++;
    return ERROR_NONE;
}

/* A small file, whole. That it cannot be read is the config's fault. */
static enum error_kind read_file(struct buffer *out, const char *path, struct error *error)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    enum error_kind kind;

    if (fd < 0)
        return error_errno(error, ERROR_CONFIG, "cannot open %s", path);
    kind = keep_read_open(fd, path, out, error);
    close(fd);
    return kind == ERROR_SYSTEM ? ERROR_CONFIG : kind;
}

static enum error_kind put_file(struct packing *packing, struct span name, const char *path,
                                struct error *error)
{
    struct buffer text = { .limit_bytes = SUPPLY_FILE_BYTES };
    enum error_kind kind = read_file(&text, path, error);

    if (kind == ERROR_NONE)
        kind = put(packing, name, buffer_span(&text), error);
    buffer_release(&text);
    return kind;
}

static enum error_kind put_extra(struct packing *packing, const struct config_texts *paths,
                                 struct error *error)
{
    enum error_kind kind = ERROR_NONE;

    for (size_t i = 0; i < paths->count && kind == ERROR_NONE; i++) {
        char path[PATH_MAX];
        struct span name = paths->items[i];
        struct error why;
        size_t known = 0;

        while (known < packing->file_count && !span_equal(packing->files[known].path, name))
            known++;
        if (known < packing->file_count)
            continue;
        if (packing->file_count == SUPPLY_FILES)
            return error_set(error, ERROR_LIMIT, "extra_ca: more than %d files in all",
                             SUPPLY_FILES);
        snprintf(path, sizeof path, "%.*s", SPAN_PRINT(name));
        kind = put_file(packing, name, path, &why);
        if (kind != ERROR_NONE)
            return error_set(error, kind, "extra_ca: %s", why.text);
        packing->files[packing->file_count].path = name;
        packing->files[packing->file_count++].pem =
            packing->texts.items[packing->texts.count - 1].text;
    }
    return kind;
}

/* Is there something good in each of the files? */
static enum error_kind check(const struct packing *packing, struct error *error)
{
    const struct proxy_trust trust = { .files = packing->files, .file_count = packing->file_count };
    struct anchors *anchors;
    enum error_kind kind = anchors_new(&anchors, &trust, error);

    if (kind == ERROR_NONE)
        anchors_free(&anchors);
    return kind;
}

static enum error_kind put_list(struct packing *packing, const struct config *config,
                                struct error *error)
{
    char path[PATH_MAX];
    struct error why;
    enum error_kind kind;

    if (config->no_intercept.size > 0) {
        snprintf(path, sizeof path, "%.*s", SPAN_PRINT(config->no_intercept));
    } else if (!installation_data_file(path, sizeof path, LIST)) {
        log_warning("there is no list %s: no host is kept from being opened by it", LIST);
        return ERROR_NONE;
    }
    kind = put_file(packing, SPAN(LIST), path, &why);
    return kind == ERROR_NONE ? kind : error_set(error, kind, "no_intercept: %s", why.text);
}

static enum error_kind put_roots(struct packing *packing, struct error *error)
{
    struct buffer pem = { .limit_bytes = VERIFY_ROOTS_BYTES };
    struct error why;
    enum error_kind kind = verify_read_system_roots(&pem, &why);

    if (kind == ERROR_NONE)
        kind = put(packing, SPAN(ROOTS), buffer_span(&pem), error);
    else
        log_warning("no https is opened: %s", why.text);
    buffer_release(&pem);
    return kind == ERROR_LIMIT ? kind : ERROR_NONE;
}

static enum error_kind pack(struct packing *packing, const struct config *config,
                            struct error *error)
{
    enum error_kind kind = ERROR_NONE;

    if (config->intercept != INTERCEPT_NONE) // else nobody needs them in memory
        kind = put_roots(packing, error);
    if (kind == ERROR_NONE)
        kind = put_list(packing, config, error);
    if (kind == ERROR_NONE)
        kind = put_extra(packing, &config->extra_ca, error);
    for (size_t i = 0; i < config->site_count && kind == ERROR_NONE; i++)
        kind = put_extra(packing, &config->sites[i].extra_ca, error);
    return kind == ERROR_NONE ? check(packing, error) : kind;
}

enum error_kind supply_pack_trust(struct parcel *out, const struct config *config,
                                  struct error *error)
{
    struct packing *packing = calloc(1, sizeof *packing);
    struct config_source items[SUPPLY_FILES + 2];
    enum error_kind kind;

    if (!packing)
        abort();
    arena_init(&packing->texts.arena, PARCEL_SOURCES_BYTES);
    packing->texts.items = items;
    kind = pack(packing, config, error);
    if (kind == ERROR_NONE)
        kind = parcel_pack_sources(&out->fd, &out->size_bytes, &packing->texts, error);
    arena_done(&packing->texts.arena);
    free(packing);
    return kind;
}

void supply_renew_tickets(struct message_tickets *tickets)
{
    memmove(tickets->keys[1], tickets->keys[0], sizeof tickets->keys - sizeof *tickets->keys);
    random_bytes(tickets->keys[0], sizeof tickets->keys[0]);
    if (tickets->count < MESSAGE_TICKET_KEYS)
        tickets->count++;
}

/* ---- unpacking ---- */

static enum error_kind use_texts(struct proxy *proxy, const struct config_sources *texts,
                                 struct error *error)
{
    struct proxy_trust_file *files = calloc(texts->count + 1, sizeof *files);
    struct proxy_trust trust = { .files = files };
    enum error_kind kind;

    if (!files)
        abort();
    for (size_t i = 0; i < texts->count; i++) {
        const struct config_source *item = &texts->items[i];

        if (span_equal(item->name, SPAN(ROOTS)))
            trust.roots = item->text;
        else if (span_equal(item->name, SPAN(LIST)))
            trust.no_intercept = item->text;
        else
            files[trust.file_count++] = (struct proxy_trust_file){ item->name, item->text };
    }
    kind = proxy_set_trust(proxy, &trust, error);
    free(files);
    return kind;
}

void supply_use_trust(struct proxy *proxy, const struct parcel *parcel)
{
    struct config_sources texts;
    struct span bytes;
    struct error error;
    enum error_kind kind;

    if (parcel->fd < 0)
        return;
    kind = parcel_open(&bytes, parcel->fd, parcel->size_bytes, PARCEL_SOURCES_BYTES, &error);
    if (kind == ERROR_NONE) {
        kind = parcel_read_sources(&texts, bytes, &error);
        parcel_close(&bytes);
    }
    if (kind == ERROR_NONE) {
        kind = use_texts(proxy, &texts, &error);
        config_sources_done(&texts);
    }
    if (kind != ERROR_NONE)
        log_error("whom to trust stays as it was: %s", error.text);
}

static void use_text(struct proxy *proxy, const struct parcel *parcel, uint64_t limit_bytes,
                     const char *what,
                     enum error_kind (*use)(struct proxy *, struct span, struct error *))
{
    struct span text;
    struct error error;
    enum error_kind kind;

    if (parcel->fd < 0)
        return;
    kind = parcel_open(&text, parcel->fd, parcel->size_bytes, limit_bytes, &error);
    if (kind == ERROR_NONE) {
        kind = use(proxy, text, &error);
        parcel_close(&text);
    }
    if (kind != ERROR_NONE)
        log_error("%s: %s", what, error.text);
}

void supply_use_authority(struct proxy *proxy, const struct parcel *parcel)
{
    use_text(proxy, parcel, SUPPLY_AUTHORITY_BYTES, "the old authority stays", proxy_set_authority);
}

void supply_use_learned(struct proxy *proxy, const struct parcel *parcel)
{
    use_text(proxy, parcel, LEARNED_TEXT_BYTES, "what was learned stays as it was",
             proxy_set_learned);
}

void supply_use_tickets(struct proxy *proxy, const struct message_tickets *tickets)
{
    struct browser_ticket_key keys[BROWSER_TICKET_KEYS];

    memcpy(keys, tickets->keys, sizeof keys);
    proxy_set_ticket_keys(proxy, keys, (size_t)tickets->count);
    explicit_bzero(keys, sizeof keys);
}
