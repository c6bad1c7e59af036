/*
 * fetch.c - `dejunk fetch`: many URLs at once, never too many.
 */
#include <fcntl.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/keep.h"
#include "cli/commands.h"
#include "cli/fetch_job.h"
#include "cli/fetch_report.h"
#include "cli/fetch_show.h"
#include "cli/say.h"
#include "cli/settings.h"
#include "daemon/installation.h"
#include "daemon/names.h"
#include "http/octets.h"
#include "http/target.h"
#include "state/config_value.h"
#include "trust/vault.h"

enum {
    AT_ONCE = 2, // when nobody says otherwise
    MOST_AT_ONCE = 10000,
    REDIRECTS = 20,
    MOST_REDIRECTS = 1000,
    MOST_RETRIES = 100,
    TIMEOUT_MS = 60 * 1000,
    DATA_BYTES = 256 * 1024 * 1024,
    DESCRIPTORS = 64, // beside those of transfers
};

enum long_option { // those without a letter
    OPTION_PER_HOST = 1,
    OPTION_BODY,
    OPTION_NULL,
    OPTION_THROUGH,
    OPTION_DIRECT,
    OPTION_JSON,
    OPTION_REDIRECTS,
    OPTION_DOWNGRADE,
    OPTION_CONTINUE,
    OPTION_RETRIES,
    OPTION_RATE,
    OPTION_MAX_TIME,
    OPTION_MAX_SIZE,
    OPTION_TIMEOUT,
    OPTION_IF_CHANGED,
    OPTION_CACERT,
    OPTION_FAIL,
    OPTION_CONFIG,
};

struct fetch_command {
    struct fetch_plan plan;
    struct settings settings;
    const char *files[FETCH_INPUT_FILES];
    size_t file_count;
    struct buffer data;
    const char *cacert;
    bool goes_through, has_sink;
    char through[300]; // "" with goes_through: where the config says that dejunk listens
    uint64_t timeout_ms;

    struct loop *loop;
    struct config *config;
    struct config_parent parent;
    struct proxy *proxy;
    struct metrics metrics;
    struct fetcher *fetcher;
    X509 *own_root; // of the dejunk that it goes through; NULL: none is known
    struct fetch_input input;
    struct fetch_report report;
    struct fetch_jobs jobs;
    struct fetch_show show;
    ev_signal interrupts[3];
    bool was_interrupted;
};

/* ---- options ---- */

static bool complain(const char *format, const char *value)
{
    say_error(format, value);
    fprintf(stderr, "Try: dejunk help fetch\n");
    return false;
}

static bool read_number(const char *value, uint64_t least, uint64_t most, uint64_t *out)
{
    return (span_to_u64(span_text(value), out) && *out >= least && *out <= most) ||
           complain("fetch: \"%s\" is not a number that this option takes", value);
}

/* "500", "20k", "5M", "2G": thousands. */
static bool read_amount(const char *value, uint64_t *out)
{
    struct span text = span_text(value);
    uint64_t factor = 1, number;

    if (text.size) {
        switch (text.at[text.size - 1] | 0x20) {
        case 'k':
            factor = 1000;
            break;
        case 'm':
            factor = 1000 * 1000;
            break;
        case 'g':
            factor = 1000 * 1000 * 1000;
            break;
        default:
            break;
        }
        text.size -= factor > 1;
    }
    if (!span_to_u64(text, &number) || number == 0 || number > UINT64_MAX / factor / 4)
        return complain("fetch: \"%s\" is no number of bytes, as 500, 20k, 5M or 2G are", value);
    *out = number * factor;
    return true;
}

static bool read_rate(const char *value, uint64_t *out)
{
    if (!read_amount(value, out))
        return false;
    return *out <= FETCH_RATE_MOST || complain("fetch: --rate is at most 1000G, not %s", value);
}

static bool read_time(const char *value, uint64_t *out_ms)
{
    return (config_read_duration(span_text(value), out_ms) && *out_ms > 0) ||
           complain("fetch: \"%s\" is no time, as 500ms, 10s, 5m or 1h are", value);
}

static bool take_field(struct fetch_command *c, const char *value)
{
    struct span text = span_text(value), name = span_slice(text, 0, span_find_byte(text, ':'));
    struct fetch_plan *plan = &c->plan;

    if (name.size == text.size || !octets_are(name, OCTET_TOKEN) ||
        !octets_are_text(span_from(text, name.size + 1)))
        return complain("fetch: \"%s\" is no header, as \"Name: value\" is", value);
    if (plan->order.field_count == FETCH_FIELDS)
        return complain("fetch: too many headers: %s", value);
    plan->fields[plan->order.field_count++] =
        (struct fetch_field){ name, span_trim(span_from(text, name.size + 1)) };
    return true;
}

static bool take_data(struct fetch_command *c, const char *value)
{
    struct buffer *data = &c->data;
    struct error error;
    int fd;

    buffer_release(data);
    data->limit_bytes = DATA_BYTES;
    if (value[0] != '@') {
        buffer_append(data, span_text(value));
    } else {
        fd = strcmp(value, "@-") == 0 ? STDIN_FILENO : open(value + 1, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            return complain("fetch: cannot read %s", value + 1);
        if (keep_read_open(fd, value + 1, data, &error) != ERROR_NONE)
            return complain("fetch: %s", error.text);
        if (fd != STDIN_FILENO)
            close(fd);
    }
    c->plan.order.body = data->at ? buffer_span(data) : SPAN("");
    return true;
}

/* Is it plainly a proxy, and not a URL to fetch? host:port or http://host:port, nothing behind. */
static bool is_proxy(const char *word)
{
    struct span text = span_text(word);

    if (config_is_parent(text))
        return text.at[text.size - 1] != '/';
    return target_is_authority(text) && span_find_byte(text, ':') < text.size;
}

static bool take_through(struct fetch_command *c, struct options *options)
{
    const char *proxy = options->value;

    if (!proxy && options_peek(options) && is_proxy(options_peek(options))) {
        proxy = options_peek(options);
        options_skip(options);
    }
    c->goes_through = true;
    c->through[0] = '\0';
    if (!proxy)
        return true;
    snprintf(c->through, sizeof c->through, "%s%s", strstr(proxy, "://") ? "" : "http://", proxy);
    return config_is_parent(span_text(c->through)) ||
           complain(
               "fetch: \"%s\" is no proxy, as 127.0.0.1:8119 or http://user:password@host:port "
               "are",
               proxy);
}

static bool take_sink(struct fetch_command *c, enum fetch_sink sink, const char *directory)
{
    if (c->has_sink && c->plan.sink != sink)
        return complain("fetch: %s", "of --output, --body and --null only one can be");
    c->has_sink = true;
    c->plan.sink = sink;
    if (directory)
        c->plan.directory = directory;
    return true;
}

static bool take_mode(struct fetch_command *c, enum fetch_file_mode mode)
{
    if (c->plan.mode != FETCH_FILE_NEW && c->plan.mode != mode)
        return complain("fetch: %s", "--continue and --if-changed exclude each other");
    c->plan.mode = mode;
    return true;
}

static bool take_method(struct fetch_command *c, const char *value)
{
    struct span name = span_text(value);

    if (!octets_are(name, OCTET_TOKEN) || span_equal(name, SPAN("CONNECT")))
        return complain("fetch: \"%s\" is no method that can be asked for", value);
    c->plan.order.method = name;
    return true;
}

static bool take_file(struct fetch_command *c, const char *value)
{
    if (c->file_count == FETCH_INPUT_FILES)
        return complain("fetch: too many files: %s", value);
    c->files[c->file_count++] = value;
    return true;
}

static bool take_count(const char *value, uint64_t least, uint64_t most, size_t *out)
{
    uint64_t number;

    if (!read_number(value, least, most, &number))
        return false;
    *out = (size_t)number;
    return true;
}

static bool take_unsigned(const char *value, uint64_t most, unsigned *out)
{
    size_t number;

    if (!take_count(value, 0, most, &number))
        return false;
    *out = (unsigned)number;
    return true;
}

static bool take(struct fetch_command *c, int letter, struct options *options)
{
    struct fetch_plan *plan = &c->plan;
    const char *value = options->value;

    switch (letter) {
    case 'c':
        return take_count(value, 1, MOST_AT_ONCE, &plan->limits.at_once);
    case OPTION_PER_HOST:
        return take_count(value, 1, MOST_AT_ONCE, &plan->limits.per_host);
    case 'o':
        return take_sink(c, FETCH_TO_FILES, value);
    case OPTION_BODY:
        return take_sink(c, FETCH_TO_OUTPUT, NULL);
    case OPTION_NULL:
        return take_sink(c, FETCH_TO_NOTHING, NULL);
    case OPTION_THROUGH:
        return take_through(c, options);
    case OPTION_DIRECT:
        c->goes_through = false;
        return true;
    case OPTION_JSON:
        plan->in_json = true;
        return true;
    case 'q':
        plan->is_quiet = true;
        return true;
    case 'i':
        return take_file(c, value);
    case 'd':
        return take_data(c, value);
    case 'H':
        return take_field(c, value);
    case 'X':
        return take_method(c, value);
    case 'I':
        return take_method(c, "HEAD");
    case OPTION_REDIRECTS:
        return take_unsigned(value, MOST_REDIRECTS, &plan->order.max_redirects);
    case OPTION_DOWNGRADE:
        plan->order.may_downgrade = true;
        return true;
    case OPTION_CONTINUE:
        return take_mode(c, FETCH_FILE_CONTINUE);
    case OPTION_IF_CHANGED:
        return take_mode(c, FETCH_FILE_IF_CHANGED);
    case OPTION_RETRIES:
        return take_unsigned(value, MOST_RETRIES, &plan->order.retries);
    case OPTION_RATE:
        return read_rate(value, &plan->limits.rate_bytes_s);
    case OPTION_MAX_TIME:
        return read_time(value, &plan->order.max_time_ms);
    case OPTION_MAX_SIZE:
        return read_amount(value, &plan->order.max_bytes);
    case OPTION_TIMEOUT:
        return read_time(value, &c->timeout_ms);
    case OPTION_CACERT:
        c->cacert = value;
        return true;
    case OPTION_FAIL:
        plan->minds_status = true;
        return true;
    case OPTION_CONFIG:
        return settings_take(&c->settings, 'c', value);
    default:
        return settings_take(&c->settings, letter, value);
    }
}

/* ---- setting up ---- */

static void on_interrupt(struct ev_loop *ev, ev_signal *watch, int events)
{
    struct fetch_command *c = watch->data;

    (void)ev;
    (void)events;
    if (c->was_interrupted)
        _exit(EXIT_FAILURE);
    c->was_interrupted = true;
    fetch_jobs_stop(&c->jobs);
}

static void on_all_ended(void *owner)
{
    struct fetch_command *c = owner;
    loop_stop(c->loop);
}

static void on_more_urls(void *owner)
{
    struct fetch_command *c = owner;
    fetch_jobs_more(&c->jobs);
}

/* Something else is written to the terminal that the display is on. */
static void before_writing(void *owner)
{
    struct fetch_command *c = owner;
    if (c->report.is_terminal)
        fetch_show_erase(&c->show);
}

static void after_writing(void *owner)
{
    struct fetch_command *c = owner;
    if (c->report.is_terminal)
        fetch_show_redraw(&c->show);
}

/* Where the dejunk of this configuration can be reached from here. */
static bool find_running(struct fetch_command *c)
{
    struct span at = c->config->listen.count ? c->config->listen.items[0] : SPAN("127.0.0.1:8119");

    if (span_starts(at, SPAN("0.0.0.0:")))
        snprintf(c->through, sizeof c->through, "http://127.0.0.1:%.*s",
                 SPAN_PRINT(span_from(at, 8)));
    else if (span_starts(at, SPAN("[::]:")))
        snprintf(c->through, sizeof c->through, "http://[::1]:%.*s", SPAN_PRINT(span_from(at, 5)));
    else
        snprintf(c->through, sizeof c->through, "http://%.*s", SPAN_PRINT(at));
    return config_is_parent(span_text(c->through));
}

enum { CA_BYTES = VERIFY_ROOTS_BYTES };

static enum error_kind read_authorities(struct buffer *pem, const char *path, struct error *error)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    enum error_kind kind;

    pem->limit_bytes = CA_BYTES;
    if (fd < 0)
        return error_errno(error, ERROR_SYSTEM, "cannot read %s", path);
    kind = keep_read_open(fd, path, pem, error);
    close(fd);
    return kind;
}

/* A dejunk on the way may look into https with the authority of this installation. */
static void add_own_authority(struct fetch_command *c, struct verify_roots **roots)
{
    struct buffer pem = { .limit_bytes = CA_BYTES };
    char path[PATH_MAX], state[PATH_MAX];
    struct verify_roots *more;
    struct error error;

    if (c->goes_through && !installation_state_dir(state, sizeof state, c->config, &error) &&
        (size_t)snprintf(path, sizeof path, "%s/ca/" VAULT_ROOT_FILE, state) < sizeof path &&
        access(path, R_OK) == 0 && !read_authorities(&pem, path, &error) &&
        !verify_roots_new(&more, *roots, buffer_span(&pem), &error)) {
        BIO *text = BIO_new_mem_buf(pem.at, (int)pem.size);

        verify_roots_unref(roots);
        *roots = more;
        c->own_root = PEM_read_bio_X509(text, NULL, NULL, NULL);
        BIO_free(text);
    }
    buffer_release(&pem);
}

static bool is_own_root(void *owner, X509 *root)
{
    const struct fetch_command *c = owner;
    return c->own_root && X509_cmp(c->own_root, root) == 0;
}

static struct verify_roots *find_roots(void *owner, struct error *error)
{
    struct fetch_command *c = owner;
    struct buffer pem = { .limit_bytes = CA_BYTES };
    struct verify_roots *roots = NULL;

    if (!(c->cacert ? read_authorities(&pem, c->cacert, error)
                    : verify_read_system_roots(&pem, error)) &&
        !verify_roots_new(&roots, NULL, buffer_span(&pem), error))
        add_own_authority(c, &roots);
    buffer_release(&pem);
    return roots;
}

/* The proxy's configuration, but for what a command that runs once needs otherwise: it goes
 * wherever it is told to, with as many connections as there may be transfers. */
static void adapt_config(struct fetch_command *c)
{
    static struct span everywhere[] = { { "0.0.0.0/0", 9 }, { "::/0", 4 } };
    struct config *config = c->config;
    size_t at_once = c->plan.limits.at_once;

    config->allow_destinations = (struct config_texts){ everywhere, 2 };
    config->connections_total = at_once;
    config->connections_per_origin = at_once;
    config->idle_per_origin = config->idle_total = at_once;
    config->response_header_timeout_ms = config->idle_body_timeout_ms = c->timeout_ms;
    if (config->connect_timeout_ms > c->timeout_ms)
        config->connect_timeout_ms = c->timeout_ms;
    config->parent_count = 0;
    c->plan.is_through = c->goes_through;
    if (c->goes_through) {
        c->parent = (struct config_parent){ .name = SPAN("--through"),
                                            .url = span_text(c->through),
                                            .asks_why = true };
        config->parents = &c->parent;
        config->parent_count = 1;
    }
}

static int load_config(struct fetch_command *c)
{
    struct error error;

    if (settings_load(&c->settings, &c->config, NULL, &error)) {
        say_error("%s", error.text);
        return EX_CONFIG;
    }
    if (c->goes_through && !c->through[0] && !find_running(c)) {
        say_error("fetch: where the proxy listens is not to be told from the configuration; say "
                  "--through=HOST:PORT");
        return EX_USAGE;
    }
    adapt_config(c);
    return EX_OK;
}

static void raise_limits(const struct fetch_command *c)
{
    struct rlimit limit;
    rlim_t wanted = (rlim_t)(6 * c->plan.limits.at_once + DESCRIPTORS);

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < wanted) {
        limit.rlim_cur = limit.rlim_max < wanted ? limit.rlim_max : wanted;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static enum error_kind set_up(struct fetch_command *c, struct options *options, struct error *error)
{
    static const int signals[] = { SIGINT, SIGTERM, SIGHUP };
    struct proxy_setup setup = { .config = c->config,
                                 .metrics = &c->metrics,
                                 .via_pseudonym = SPAN("fetch") };
    struct names *names;
    enum error_kind kind = loop_new(&c->loop, error);

    if (kind)
        return kind;
    setup.loop = c->loop;
    names = names_new(c->loop, c->config->resolv_conf, c->config->hosts_file, NULL, NULL);
    setup.resolv_conf = names_texts(names).resolv_conf;
    setup.hosts = names_texts(names).hosts;
    kind = proxy_new(&c->proxy, &setup, error);
    names_free(&names);
    if (kind)
        return kind;
    c->fetcher =
        fetcher_new(c->proxy, &c->plan.limits, &(struct fetch_trust){ find_roots, is_own_root, c });
    fetch_report_init(&c->report, c->loop, &c->plan,
                      c->plan.sink == FETCH_TO_OUTPUT ? STDERR_FILENO : STDOUT_FILENO);
    fetch_input_init(&c->input, c->loop, options->argv, options->argc, c->files, c->file_count,
                     on_more_urls, c);
    fetch_jobs_init(&c->jobs, c->loop, c->fetcher, &c->plan, &c->input, &c->report, on_all_ended,
                    c);
    fetch_show_init(&c->show, c->loop, &c->jobs, c->fetcher);
    c->report.before_writing = before_writing;
    c->report.after_writing = after_writing;
    c->report.owner = c;
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        ev_signal_init(&c->interrupts[i], on_interrupt, signals[i]);
        c->interrupts[i].data = c;
        ev_signal_start(c->loop->ev, &c->interrupts[i]);
    }
    return ERROR_NONE;
}

static void tear_down(struct fetch_command *c)
{
    if (c->fetcher) {
        for (size_t i = 0; i < sizeof c->interrupts / sizeof *c->interrupts; i++)
            ev_signal_stop(c->loop->ev, &c->interrupts[i]);
        fetch_jobs_done(&c->jobs);
        fetch_input_done(&c->input);
        fetcher_free(&c->fetcher);
    }
    proxy_free(&c->proxy);
    loop_free(&c->loop);
    config_unref(&c->config);
    buffer_release(&c->data);
    X509_free(c->own_root);
    if (c->plan.directory_fd >= 0)
        close(c->plan.directory_fd);
}

static int fetch_all(struct fetch_command *c)
{
    uint64_t began = loop_now_ms(c->loop);
    const struct fetch_counts *counts = &c->jobs.counts;
    bool all_done;

    fetch_jobs_start(&c->jobs);
    loop_run(c->loop);
    fetch_show_done(&c->show);
    fetch_report_summary(&c->report, counts, loop_now_ms(c->loop) - began);
    if (!fetch_report_done(&c->report) && !c->jobs.output_is_lost) {
        say_error("cannot write to standard output: %s", strerror(c->report.why));
        return EX_IOERR;
    }
    if (c->jobs.output_is_lost)
        return EX_IOERR;
    all_done = counts->ends[FETCH_DONE] == counts->urls && !c->jobs.input_failed &&
               !c->was_interrupted && !(c->plan.minds_status && counts->bad_status);
    return all_done ? EX_OK : EXIT_FAILURE;
}

static int run_with(struct fetch_command *c, struct options *options)
{
    struct error error;
    int code;

    if (options->argc == 0 && c->file_count == 0) {
        complain("fetch: %s", "say which URLs, as arguments, with --input or - for standard input");
        return EX_USAGE;
    }
    if (c->plan.mode != FETCH_FILE_NEW && c->plan.sink != FETCH_TO_FILES) {
        complain("fetch: %s", "--continue and --if-changed are for files");
        return EX_USAGE;
    }
    code = load_config(c);
    if (code != EX_OK)
        return code;
    if (c->plan.sink == FETCH_TO_FILES &&
        fetch_directory_open(&c->plan.directory_fd, c->plan.directory, &error)) {
        say_error("%s", error.text);
        return EX_CANTCREAT;
    }
    raise_limits(c);
    signal(SIGPIPE, SIG_IGN);
    if (set_up(c, options, &error)) {
        say_error("%s", error.text);
        return EX_SOFTWARE;
    }
    return fetch_all(c);
}

static int run(struct options *options)
{
    static struct fetch_command command; // large, and once in a process
    struct fetch_command *c = &command;
    int letter, code;

    *c = (struct fetch_command){ .timeout_ms = TIMEOUT_MS };
    c->plan.limits.at_once = AT_ONCE;
    c->plan.order.max_redirects = REDIRECTS;
    c->plan.order.fields = c->plan.fields;
    c->plan.directory = ".";
    c->plan.directory_fd = -1;
    while ((letter = options_next(options)) > 0) {
        if (!take(c, letter, options))
            return EX_USAGE;
    }
    if (letter == OPTIONS_END_NOW)
        return options->exit_code;
    if (c->plan.order.body.at && !c->plan.order.method.at)
        c->plan.order.method = SPAN("POST");
    c->plan.order.takes_codings = c->plan.mode != FETCH_FILE_CONTINUE;
    c->plan.order.can_restart = c->plan.sink != FETCH_TO_OUTPUT;
    log_start("fetch", LOG_LEVEL_ERROR);
    code = run_with(c, options);
    tear_down(c);
    return code;
}

static const struct option_row rows[] = {
    { 'c', "parallel", "N", "at most so many at once (2)" },
    { OPTION_PER_HOST, "per-host", "N", "at most so many of one host" },
    { 'o', "output", "DIR", "bodies go into files in this directory (.)" },
    { OPTION_BODY, "body", NULL, "bodies go to standard output, in order" },
    { OPTION_NULL, "null", NULL, "bodies go nowhere" },
    { 'i', "input", "FILE", "read URLs from a file, one a line; - is standard input" },
    { OPTION_THROUGH, "through", "[PROXY]", "go through a running dejunk, or another proxy" },
    { OPTION_DIRECT, "direct", NULL, "go straight to the servers, which is usual" },
    { 'X', "method", "METHOD", "ask with this method" },
    { 'I', "head", NULL, "ask for headers only" },
    { 'd', "data", "TEXT", "send this by POST; @FILE, @- for what is in a file" },
    { 'H', "header", "NAME: VALUE", "send this header, in place of ours" },
    { OPTION_REDIRECTS, "max-redirects", "N", "follow at most so many redirects (20)" },
    { OPTION_DOWNGRADE, "allow-downgrade", NULL, "follow redirects from https to http" },
    { OPTION_CONTINUE, "continue", NULL, "go on where an earlier run was stopped" },
    { OPTION_IF_CHANGED, "if-changed", NULL, "only what is not the same as last time" },
    { OPTION_RETRIES, "retries", "N", "try again so many times what may be (0)" },
    { OPTION_RATE, "rate", "BYTES", "read at most so many bytes a second, as 500k" },
    { OPTION_TIMEOUT, "timeout", "TIME", "wait so long for an answer, or more of it (60s)" },
    { OPTION_MAX_TIME, "max-time", "TIME", "each URL may take so long" },
    { OPTION_MAX_SIZE, "max-size", "BYTES", "no body may be longer" },
    { OPTION_CACERT, "cacert", "FILE", "trust the authorities in this file only" },
    { OPTION_FAIL, "fail", NULL, "a status of 400 or more is a failure" },
    { OPTION_JSON, "json", NULL, "tell what happens as JSON, one object a line" },
    { 'q', "quiet", NULL, "tell only how each ended" },
    { OPTION_CONFIG, "config", "FILE", "read this file instead of the usual one" },
    { 'D', "set", "NAME=VALUE", "set an option of the configuration" },
    { 0 },
};

const struct command command_fetch = {
    .name = "fetch",
    .help = "fetch many URLs at once, never too many",
    .arguments = "URL...|-",
    .about =
        "Tells for each URL its headers as soon as they are in and how it ended: done, refused,\n"
        "no such host, certificate (why), lost before headers, short body, timed out, too many\n"
        "redirects. The exit code is 0 when all are done and 1 when some are not.",
    .options = rows,
    .run = run,
};
