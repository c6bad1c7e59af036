/*
 * ca.c - `dejunk ca`: the authority of this installation, shown, handed out, renewed, trusted; and
 * by enrolment.h whose https it opens.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "cli/commands.h"
#include "cli/enrolment.h"
#include "cli/say.h"
#include "cli/secret.h"
#include "cli/stores.h"
#include "daemon/charter.h"
#include "trust/certificates.h"
#include "trust/vault.h"

struct request {      // what was asked on the command line
    struct talk talk; // its settings are everybody's
    struct enrolment enrolment;
    char directory[PATH_MAX]; // of the vault
    const char *file;         // of export; NULL: standard output
    unsigned stores;
    bool keeps_root, as_der;
};

static int exit_code_of(enum error_kind kind)
{
    switch (kind) {
    case ERROR_NONE:
        return EX_OK;
    case ERROR_CONFIG:
        return EX_CONFIG;
    case ERROR_FORBIDDEN:
        return EX_NOPERM;
    case ERROR_CORRUPT:
    case ERROR_SYNTAX:
    case ERROR_LIMIT:
        return EX_DATAERR;
    default:
        return EX_OSERR;
    }
}

static int complain(const struct error *error)
{
    say_error("%s", error->text);
    return exit_code_of(error->kind);
}

/* ---- making one ---- */

static enum error_kind make(struct authority **out, const struct request *request,
                            const struct authority *old, struct error *error)
{
    char passphrase[SECRET_BYTES + 1] = "";
    bool renews = old && authority_has_root_key(old);
    bool has_secret = renews || request->keeps_root;
    enum error_kind kind = ERROR_NONE;

    if (!charter_has_list())
        say_warning("there is no list %s: the authority will be able to sign for any name",
                    CHARTER_LIST);
    if (has_secret && !secret_get(passphrase, "passphrase", !renews))
        kind = error_set(error, ERROR_CONFIG, "the root's key needs a passphrase");
    if (!kind)
        kind = charter_make(out, request->directory, renews ? old : NULL,
                            has_secret ? passphrase : NULL, error);
    explicit_bzero(passphrase, sizeof passphrase);
    return kind;
}

/* The one there is, or a new one. */
static enum error_kind get(struct authority **out, const struct request *request,
                           struct error *error)
{
    enum error_kind kind;

    if (vault_exists(request->directory))
        return vault_load(out, request->directory, error);
    kind = make(out, request, NULL, error);
    if (!kind)
        fprintf(stderr, "A new authority was made in %s\n", request->directory);
    return kind;
}

/* ---- what is shown ---- */

static const char *day(char to[16], time_t time)
{
    struct tm parts;

    gmtime_r(&time, &parts);
    strftime(to, 16, "%Y-%m-%d", &parts);
    return to;
}

static void show_fingerprint(const struct authority *authority)
{
    unsigned char digest[AUTHORITY_FINGERPRINT_BYTES];

    authority_fingerprint(authority, digest);
    printf("SHA-256    ");
    for (size_t i = 0; i < sizeof digest; i++)
        printf("%s%02X", i ? ":" : "", digest[i]);
    printf("\n");
}

static int show(const struct request *request)
{
    struct authority *authority;
    char name[AUTHORITY_NAME_BYTES], from[16], until[16];
    struct error error;

    if (!vault_exists(request->directory)) {
        printf("There is no authority yet in %s\n"
               "One is made when it is first needed: dejunk ca trust, dejunk ca export\n",
               request->directory);
        return EX_UNAVAILABLE;
    }
    if (vault_load(&authority, request->directory, &error))
        return complain(&error);
    printf("authority  %s\n", authority_name(authority, name));
    show_fingerprint(authority);
    printf("valid      %s to %s\n", day(from, authority_from(authority)),
           day(until, authority_until(authority)));
    printf("root key   %s\n",
           authority_has_root_key(authority) ? "kept, under a passphrase" : "not kept");
    printf("excluded   %zu domains and all below them (%s)\n",
           constraints_count(authority_constraints(authority)), CHARTER_LIST);
    printf("file       %s/%s\n", request->directory, VAULT_ROOT_FILE);
    authority_free(&authority);
    return say_finish();
}

/* ---- export ---- */

static bool write_der(FILE *to, struct span pem)
{
    STACK_OF(X509) *chain = NULL;
    bool good = !certificates_read(&chain, pem, NULL) && i2d_X509_fp(to, sk_X509_value(chain, 0));

    sk_X509_pop_free(chain, X509_free);
    return good;
}

static int export(const struct request *request)
{
    struct buffer pem = { .limit_bytes = AUTHORITY_TEXT_BYTES };
    FILE *to = stdout;
    struct authority *authority;
    struct error error;
    bool good;

    if (get(&authority, request, &error))
        return complain(&error);
    authority_root_pem(authority, &pem);
    authority_free(&authority);
    if (request->file && !(to = fopen(request->file, "we"))) {
        say_error("cannot write %s: %s", request->file, strerror(errno));
        buffer_release(&pem);
        return EX_CANTCREAT;
    }
    good = request->as_der ? write_der(to, buffer_span(&pem))
                           : fwrite(pem.at, 1, pem.size, to) == pem.size;
    buffer_release(&pem);
    if (!request->file)
        return good ? say_finish() : EX_IOERR;
    good = fclose(to) == 0 && good;
    if (good)
        return EX_OK;
    say_error("cannot write %s: %s", request->file, strerror(errno));
    return EX_IOERR;
}

/* ---- rotate ---- */

static int rotate(const struct request *request)
{
    struct authority *old = NULL, *authority = NULL;
    char name[AUTHORITY_NAME_BYTES];
    struct error error;
    bool renewed;

    // One that cannot be read is replaced; one that is only closed to us is not.
    if (vault_exists(request->directory) && vault_load(&old, request->directory, &error) &&
        error.kind != ERROR_CORRUPT && error.kind != ERROR_LIMIT)
        return complain(&error);
    renewed = old && authority_has_root_key(old) && !request->keeps_root;
    if (make(&authority, request, renewed ? old : NULL, &error)) {
        authority_free(&old);
        return complain(&error);
    }
    printf("made       %s\n", authority_name(authority, name));
    show_fingerprint(authority);
    if (renewed)
        printf("The root is the same: no device has to trust anything anew.\n");
    else if (old)
        printf("Devices must trust the new one (dejunk ca trust) and may forget the old:\n"
               "dejunk ca untrust takes out both, and dejunk ca trust puts the new one in.\n");
    printf("A running dejunk takes it at its next reload.\n");
    authority_free(&old);
    authority_free(&authority);
    return say_finish();
}

/* ---- trust and untrust ---- */

/* Identity and name of a certificate in PEM, for the stores. */
static bool describe(struct store_certificate *out, struct span pem)
{
    STACK_OF(X509) *chain = NULL;
    X509 *certificate = certificates_read(&chain, pem, NULL) ? NULL : sk_X509_value(chain, 0);
    unsigned char digest[EVP_MAX_MD_SIZE];
    char name[STORES_NAME_BYTES / 2] = "";
    bool good = certificate && X509_digest(certificate, EVP_sha256(), digest, NULL);

    if (good) {
        X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, name,
                                  sizeof name);
        *out = (struct store_certificate){ .pem = pem };
        log_text(out->name, sizeof out->name, span_text(name));
        snprintf(out->id, sizeof out->id, "%02x%02x%02x%02x", digest[0], digest[1], digest[2],
                 digest[3]);
    }
    sk_X509_pop_free(chain, X509_free);
    return good;
}

static int exit_code(struct store_counts counts)
{
    int code = say_finish();

    if (code)
        return code;
    return counts.failed && !counts.done ? EX_NOPERM : EX_OK;
}

static int trust(const struct request *request)
{
    struct buffer pem = { .limit_bytes = AUTHORITY_TEXT_BYTES };
    struct store_certificate certificate;
    struct store_counts counts;
    struct authority *authority;
    struct error error;

    if (get(&authority, request, &error))
        return complain(&error);
    authority_root_pem(authority, &pem);
    authority_free(&authority);
    if (!describe(&certificate, buffer_span(&pem)))
        abort(); // we made it
    printf("authority  %s\n", certificate.name);
    counts = stores_trust(&certificate, request->stores);
    buffer_release(&pem);
    if (counts.done)
        printf("Browsers must be started again. To undo: %sdejunk ca untrust\n",
               geteuid() == 0 && (request->stores & STORES_SYSTEM) ? "sudo " : "");
    return exit_code(counts);
}

/* A root of ours, the present one or one before it, by its file. */
static struct store_counts forget(const struct request *request, const char *file)
{
    char path[PATH_MAX + 300], text[16384];
    struct store_counts counts = { 0 };
    struct store_certificate certificate;
    FILE *from;
    size_t size;

    snprintf(path, sizeof path, "%s/%s", request->directory, file);
    from = fopen(path, "re");
    if (!from)
        return counts;
    size = fread(text, 1, sizeof text, from);
    fclose(from);
    if (describe(&certificate, span_of(text, size)))
        counts = stores_untrust(&certificate, request->stores);
    return counts;
}

static int untrust(const struct request *request)
{
    struct store_counts all = { 0 };
    DIR *list = opendir(request->directory);
    const struct dirent *entry;

    if (!list && errno == EACCES) {
        say_error("cannot look into %s: %s", request->directory, strerror(errno));
        return EX_NOPERM;
    }
    while (list && (entry = readdir(list))) {
        struct store_counts counts;

        if (strcmp(entry->d_name, VAULT_ROOT_FILE) != 0 &&
            strncmp(entry->d_name, "old-", strlen("old-")) != 0)
            continue;
        counts = forget(request, entry->d_name);
        all.done += counts.done;
        all.failed += counts.failed;
        all.found += counts.found;
    }
    if (list)
        closedir(list);
    if (!all.found && !all.failed)
        printf("No store trusts an authority of this installation.\n");
    return exit_code(all);
}

/* ---- the command ---- */

static const struct {
    const char *name;
    int least, most;                           // arguments behind it
    int (*run)(const struct request *request); // or, of the service:
    int (*ask)(struct talk *talk, const struct enrolment *asked);
} actions[] = {
    { "show", 0, 0, show, NULL },
    { "export", 0, 1, export, NULL },
    { "rotate", 0, 0, rotate, NULL },
    { "trust", 0, 0, trust, NULL },
    { "untrust", 0, 0, untrust, NULL },
    { "enrol", 1, 1, NULL, enrolment_enrol },
    { "unenrol", 1, 1, NULL, enrolment_unenrol },
    { "enrolled", 0, 0, NULL, enrolment_show_enrolled },
    { "learned", 0, 0, NULL, enrolment_show_learned },
    { "forget", 1, 1, NULL, enrolment_forget },
};

static int prepare(struct request *request)
{
    struct config *config;
    struct error error;
    enum error_kind kind = settings_load(&request->talk.settings, &config, NULL, &error);

    if (kind)
        return complain(&error);
    kind = charter_directory(request->directory, sizeof request->directory, config, &error);
    config_unref(&config);
    if (kind)
        return complain(&error);
    return EX_OK;
}

static int run(struct options *options)
{
    static struct request request; // of some size
    int letter, code;

    request = (struct request){ 0 };
    while ((letter = options_next(options)) > 0) {
        settings_take(&request.talk.settings, letter, options->value);
        if (letter == 'S')
            request.talk.socket = options->value;
        else if (letter == 'F')
            request.enrolment.family = options->value;
        else if (letter == 'f')
            request.enrolment.time = options->value;
        request.keeps_root |= letter == 'k';
        request.as_der |= letter == 'd';
        request.stores |= letter == 's' ? STORES_SYSTEM : letter == 'b' ? STORES_BROWSERS : 0;
    }
    if (letter == OPTIONS_END_NOW || !options_count(options, 1, 2))
        return options->exit_code;
    if (!request.stores)
        request.stores = STORES_SYSTEM | STORES_BROWSERS;
    for (size_t i = 0; i < sizeof actions / sizeof *actions; i++) {
        if (strcmp(actions[i].name, options->argv[0]) != 0)
            continue;
        if (!options_count(options, 1 + actions[i].least, 1 + actions[i].most))
            return options->exit_code;
        request.file = request.enrolment.what = options->argc > 1 ? options->argv[1] : NULL;
        if (actions[i].ask)
            return actions[i].ask(&request.talk, &request.enrolment);
        code = prepare(&request);
        return code ? code : actions[i].run(&request);
    }
    say_error(
        "ca: \"%s\" is none of show, export, rotate, trust, untrust, enrol, unenrol, enrolled, "
        "learned, forget",
        options->argv[0]);
    return EX_USAGE;
}

static const struct option_row rows[] = {
    { 'b', "browsers", NULL, "trust, untrust: only browsers' own databases" },
    { 's', "system", NULL, "trust, untrust: only the system's store" },
    { 'd', "der", NULL, "export: binary, as some devices want it" },
    { 'k', "keep-root", NULL, "keep a new root's key, under a passphrase" },
    { 'f', "for", "TIME", "enrol: end after this, such as 12h or 30d" },
    { 'F', "family", "FAMILY",
      "enrol, unenrol: only programs of this family, as the log names it" },
    { 'S', "socket", "PATH", "the control socket of the service, wherever it is" },
    SETTINGS_ROWS,
    { 0 },
};
const struct command command_ca = {
    .name = "ca",
    .help = "show, export, renew or trust the authority that signs for HTTPS; enrol clients",
    .arguments = "ACTION [WHAT]",
    .about =
        "Each installation has an authority of its own, made when it is first needed. Its key "
        "never\n"
        "leaves this machine; what devices need is its certificate:\n\n"
        "  show     its name, fingerprint, dates and file\n"
        "  export   its certificate, as PEM, to FILE or standard output\n"
        "  trust    put it into the system's store (as root) and into the databases of Firefox,\n"
        "           Chromium and others of this user (or of who called sudo)\n"
        "  untrust  take it out of them again, and those before it\n"
        "  rotate   make a new one; with a root key that was kept, devices notice nothing\n\n"
        "Whose HTTPS the running service opens (intercept in proxy.conf), and what it passes "
        "through:\n\n"
        "  enrol ADDRESS|USER    a client whose programs trust the authority\n"
        "  unenrol ADDRESS|USER  no longer\n"
        "  enrolled              who is, since when, and whose enrolment was ended and why\n"
        "  learned               hosts that a client's program will not have opened, and until "
        "when\n"
        "  forget HOST           try again with that host",
    .options = rows,
    .run = run,
};
