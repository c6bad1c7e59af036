#include "daemon/signing.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/table.h"
#include "daemon/charter.h"
#include "daemon/jail.h"
#include "daemon/orders.h"
#include "daemon/packets.h"
#include "daemon/worker.h"
#include "trust/signer.h"
#include "trust/vault.h"

enum {
    LINES = 4 * CREW_WORKERS,  // workers that drain are beside their successors
    SECRET_BYTES = 256 * 1024, // OpenSSL's own locked heap
    SECRET_PIECE_BYTES = 32,
    NAME_SHOWN_BYTES = 300,
    REFUSALS_PER_S = 1, // told in the log, of each worker
    REFUSALS_BURST = 10,
};

struct signing;

struct line { // to a worker
    struct signing *of;
    struct packets packets;
    size_t place;
};

struct signing {
    struct loop *loop;
    const struct crew_begin *begin;
    int channel;
    struct orders orders;
    struct signer signer;
    struct sign_limit limits[CREW_WORKERS];  // by place: a worker that ends gains nothing by it
    struct sign_limit telling[CREW_WORKERS]; // of refusals
    size_t untold[CREW_WORKERS];
    struct line lines[LINES];
    bool is_locked; // all of the memory, now and later
};

/* ---- the authority ---- */

static enum error_kind read_own(struct buffer *out, struct span path, bool is_secret,
                                struct error *error)
{
    char name[PATH_MAX];

    snprintf(name, sizeof name, "%.*s", SPAN_PRINT(path));
    return vault_read_file(out, name, 0, is_secret, error);
}

static enum error_kind load_own(struct authority **out, const struct config_ca *ca,
                                struct error *error)
{
    struct buffer certificate = { 0 }, key = { 0 };
    struct error why;
    enum error_kind kind = read_own(&certificate, ca->certificate, false, &why);

    if (kind == ERROR_NONE)
        kind = read_own(&key, ca->key, true, &why);
    if (kind == ERROR_NONE)
        kind = authority_own(out, buffer_span(&certificate), buffer_span(&key), time(NULL), &why);
    vault_wipe(&key);
    vault_wipe(&certificate);
    return kind == ERROR_NONE ? kind : error_set(error, kind, "ca: %s", why.text);
}

/* That of the vault; on first need it is made. */
static enum error_kind load_ours(struct authority **out, const struct config *config,
                                 struct error *error)
{
    char directory[PATH_MAX], name[AUTHORITY_NAME_BYTES];
    enum error_kind kind = charter_directory(directory, sizeof directory, config, error);

    if (kind != ERROR_NONE || vault_exists(directory))
        return kind == ERROR_NONE ? vault_load(out, directory, error) : kind;
    if (!charter_has_list())
        log_warning("there is no list %s: the authority will be able to sign for any name",
                    CHARTER_LIST);
    kind = charter_make(out, directory, NULL, NULL, error);
    if (kind == ERROR_NONE)
        log_notice("made %s in %s; devices that trust it can be enrolled: dejunk ca trust, "
                   "dejunk ca enrol",
                   authority_name(*out, name), directory);
    return kind;
}

static struct authority *load(const struct config *config)
{
    struct authority *authority = NULL;
    char name[AUTHORITY_NAME_BYTES];
    struct error error;
    enum error_kind kind;

    if (config->intercept == INTERCEPT_NONE)
        return NULL;
    kind = config->ca.certificate.size > 0 ? load_own(&authority, &config->ca, &error)
                                           : load_ours(&authority, config, &error);
    if (kind != ERROR_NONE) {
        log_error("no https is opened: %s", error.text);
        return NULL;
    }
    log_info("signs for %s", authority_name(authority, name));
    if (authority_until(authority) < time(NULL))
        log_error("%s has expired: dejunk ca rotate", name);
    return authority;
}

enum error_kind signing_check(const struct config *config, struct error *error)
{
    char directory[PATH_MAX];
    struct authority *authority = NULL;
    enum error_kind kind = ERROR_NONE;

    if (config->intercept == INTERCEPT_NONE)
        return ERROR_NONE;
    if (config->ca.certificate.size > 0)
        kind = load_own(&authority, &config->ca, error);
    else if (charter_directory(directory, sizeof directory, config, error) == ERROR_NONE &&
             vault_exists(directory))
        kind = vault_load(&authority, directory, error);
    authority_free(&authority);
    return kind;
}

static void mix_file(uint64_t *mark, const char *path)
{
    struct stat status;
    char text[256];

    if (stat(path, &status) != 0)
        snprintf(text, sizeof text, "none %016llx", (unsigned long long)*mark);
    else
        snprintf(text, sizeof text, "%llu %lld %lld.%09ld %016llx",
                 (unsigned long long)status.st_ino, (long long)status.st_size,
                 (long long)status.st_mtim.tv_sec, status.st_mtim.tv_nsec,
                 (unsigned long long)*mark);
    for (const char *c = text; *c; c++) // FNV-1a; nobody chooses these
        *mark = (*mark ^ (unsigned char)*c) * UINT64_C(1099511628211);
}

uint64_t signing_mark(const struct config *config)
{
    const struct span own[] = { config->ca.certificate, config->ca.key };
    uint64_t mark = UINT64_C(14695981039346656037);
    char path[PATH_MAX + sizeof VAULT_FILE];

    if (config->intercept == INTERCEPT_NONE)
        return 0;
    if (own[0].size == 0) {
        if (charter_directory(path, PATH_MAX, config, NULL) == ERROR_NONE) {
            memcpy(path + strlen(path), "/" VAULT_FILE, sizeof VAULT_FILE + 1);
            mix_file(&mark, path);
        }
        return mark;
    }
    for (size_t i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%.*s", SPAN_PRINT(own[i]));
        mix_file(&mark, path);
    }
    return mark + own[0].size;
}

/* ---- workers ---- */

static uint64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void set_limits(struct signing *it, const struct config *config)
{
    for (size_t i = 0; i < CREW_WORKERS; i++)
        sign_limit_init(&it->limits[i], (uint32_t)config->leaf_rate_per_s,
                        (uint32_t)config->leaf_burst, now_ms());
}

/* The first name asked for, for the log. */
static const char *first_name(char to[NAME_SHOWN_BYTES], struct span packet, size_t *names)
{
    struct sign_request request;

    *names = 0;
    to[0] = '\0';
    if (sign_decode_request(&request, packet, NULL) != ERROR_NONE || request.name_count == 0)
        return to;
    *names = request.name_count;
    if (request.names[0].kind == HOSTNAME_NAME)
        return log_text(to, NAME_SHOWN_BYTES, request.names[0].bytes);
    snprintf(to, NAME_SHOWN_BYTES, "an address");
    return to;
}

/* A worker that asks for what it cannot have does not fill the log. */
static void log_outcome(const struct line *line, enum sign_outcome outcome, struct span packet)
{
    struct signing *it = line->of;
    char name[NAME_SHOWN_BYTES];
    size_t names;

    if (outcome == SIGN_DONE) {
        if (!log_is_on(LOG_LEVEL_INFO))
            return;
        first_name(name, packet, &names);
        log_info("signed for worker %zu: %s, %zu names", line->place, name, names);
        return;
    }
    if (!sign_limit_take(&it->telling[line->place], now_ms())) {
        it->untold[line->place]++;
        return;
    }
    first_name(name, packet, &names);
    log_warning("refused to worker %zu: %s, %zu names: %s (%zu like it were not told)", line->place,
                name, names, sign_outcome_words(outcome), it->untold[line->place]);
    it->untold[line->place] = 0;
}

static void answer(struct line *line, struct span packet)
{
    struct signing *it = line->of;
    char reply[SIGN_ANSWER_BYTES];
    size_t size;
    enum sign_outcome outcome;
    struct error error;

    if (signer_answer(&it->signer, &it->limits[line->place], packet, time(NULL), now_ms(), reply,
                      &size, &outcome, &error) != ERROR_NONE) {
        log_error("worker %zu is heard no more: %s", line->place, error.text);
        packets_close(&line->packets);
        return;
    }
    log_outcome(line, outcome, packet);
    if (!packets_send(&line->packets, span_of(reply, size)))
        packets_close(&line->packets);
}

static void on_packet(void *owner, struct span packet)
{
    struct line *line = owner;

    if (line->of->signer.authority)
        answer(line, packet);
    else // it was told so; an answer to what came before
        packets_close(&line->packets);
}

static void on_line_end(void *owner)
{
    const struct line *line = owner;

    log_debug("worker %zu is gone", line->place);
}

static const struct packets_events line_events = { on_packet, on_line_end };

/* Takes the descriptor over. */
static void open_line(struct signing *it, uint64_t place, int fd)
{
    struct line *line = it->lines;

    while (line < it->lines + LINES && packets_is_open(&line->packets))
        line++;
    if (line == it->lines + LINES || place >= CREW_WORKERS) {
        log_error("more than %d workers", LINES);
        close(fd);
        return;
    }
    line->of = it;
    line->place = (size_t)place;
    packets_open(&line->packets, it->loop, fd, SIGN_REQUEST_BYTES, true, &line_events, line);
}

/* ---- the master ---- */

/* Only the limits are taken from it; for another authority this process is replaced. */
static enum error_kind on_config(void *owner, struct config *config, struct error *error)
{
    struct signing *it = owner;

    (void)error;
    set_limits(it, config);
    log_set_level(worker_log_level(config, it->begin->verbosity));
    return ERROR_NONE;
}

static bool on_message(void *owner, struct message *message)
{
    struct signing *it = owner;

    switch (message->type) {
    case MESSAGE_SIGNER:
        open_line(it, message->number.number, message->fd);
        message->fd = -1;
        return true;
    case MESSAGE_STATE:
        return true;
    case MESSAGE_DRAIN:
        orders_end(&it->orders, EX_OK);
        return true;
    default:
        return false;
    }
}

static const struct orders_events orders_events = { on_config, on_message };

/* ---- the process ---- */

/* Before there is a secret: nobody may look in, nothing of it goes to a disk. */
static enum error_kind close_up(struct signing *it, struct error *error)
{
    const struct rlimit no_core = { 0, 0 };

    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 || setrlimit(RLIMIT_CORE, &no_core) < 0)
        return error_errno(error, ERROR_SYSTEM, "core dumps cannot be forbidden");
    if (CRYPTO_secure_malloc_init(SECRET_BYTES, SECRET_PIECE_BYTES) != 1)
        log_warning("the key's own memory cannot be locked: it may be written to swap space");
    it->is_locked = mlockall(MCL_CURRENT | MCL_FUTURE) == 0;
    return ERROR_NONE;
}

/* Where the limit is too low for all that is mapped: what was written to by now, in which reading
 * the key may have left parts of it. */
static void lock_what_was_written(void)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    char line[PATH_MAX + 128];
    bool is_whole = maps != NULL;

    while (maps && fgets(line, sizeof line, maps)) {
        char *end;
        uintptr_t from = (uintptr_t)strtoull(line, &end, 16), to;

        to = *end == '-' ? (uintptr_t)strtoull(end + 1, &end, 16) : 0;
        if (to <= from || strncmp(end, " rw-p", strlen(" rw-p")) != 0)
            continue;
        is_whole &= mlock((void *)from, to - from) == 0;
        madvise((void *)from, to - from, MADV_DONTDUMP);
    }
    if (maps)
        fclose(maps);
    if (!is_whole)
        log_warning("not all memory of the key can be locked (LimitMEMLOCK): parts of it may be "
                    "written to swap space");
}

/* To the master, and from there to the workers. None: an empty one. */
static enum error_kind tell_authority(const struct signing *it, struct error *error)
{
    struct message message = message_of(MESSAGE_AUTHORITY);
    struct buffer pem = { .limit_bytes = AUTHORITY_TEXT_BYTES };
    struct span text;
    enum error_kind kind;

    if (it->signer.authority)
        authority_chain_pem(it->signer.authority, &pem);
    text = buffer_span(&pem);
    kind = parcel_pack(&message.fd, &message.parcel.size_bytes, &text, 1, error);
    if (kind == ERROR_NONE) {
        kind = message_send(it->channel, &message, error);
        close(message.fd);
    }
    buffer_release(&pem);
    return kind;
}

static enum error_kind begin(struct signing *it, struct error *error)
{
    enum error_kind kind = loop_new(&it->loop, error);

    if (kind == ERROR_NONE && jail_is_wanted())
        kind = close_up(it, error);
    if (kind != ERROR_NONE)
        return kind;
    set_limits(it, it->begin->config);
    for (size_t i = 0; i < CREW_WORKERS; i++)
        sign_limit_init(&it->telling[i], REFUSALS_PER_S, REFUSALS_BURST, now_ms());
    it->signer.authority = load(it->begin->config);
    kind = tell_authority(it, error);
    if (it->signer.authority && !it->is_locked && jail_is_wanted())
        lock_what_was_written();
    if (kind == ERROR_NONE && jail_is_wanted())
        kind = jail_enter(JAIL_SIGNER, error);
    return kind;
}

int signing_run(const struct crew_start *start)
{
    struct signing *it = calloc(1, sizeof *it);
    struct error error;
    int exit_code;

    if (!it)
        abort();
    it->begin = start->begin;
    it->channel = start->channel;
    for (size_t i = 0; i < LINES; i++)
        it->lines[i].packets.fd = -1;
    log_start("signer", worker_log_level(start->begin->config, start->begin->verbosity));
    child_keep_only(&start->channel, 1);
    if (begin(it, &error) != ERROR_NONE) {
        log_error("%s", error.text);
        exit_code = EX_OSERR;
    } else {
        exit_code = orders_serve(&it->orders, it->loop, it->channel, &orders_events, it);
    }
    for (size_t i = 0; i < LINES; i++)
        packets_close(&it->lines[i].packets);
    authority_free(&it->signer.authority);
    loop_free(&it->loop);
    free(it);
    return exit_code;
}
