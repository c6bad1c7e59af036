#include "daemon/rules.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include <xxhash.h>

#include "admin/lists.h"
#include "base/keep.h"
#include "base/log.h"
#include "daemon/child.h"
#include "daemon/installation.h"
#include "daemon/parcel.h"
#include "daemon/rulebook.h"
#include "filter/database.h"
#include "filter/image.h"
#include "filter/match.h"

enum {
    PROBLEM_BYTES = 400,
    KEY_HEX = 32,
    UNFILTERED_BYTES = 1024 * 1024,
};

/* In front of a file that a list includes, in the report. */
#define INCLUDE_MARK "# includes "

/* Where Debian's webext-ublock-origin-firefox keeps its lists. */
#define UBLOCK                                                                                     \
    "/usr/share/mozilla/extensions/{ec8030f7-c20a-464f-9b0e-13a3a9e97384}/"                        \
    "uBlock0@raymondhill.net/assets/"

static const struct {
    const char *name, *file;
    bool is_trusted;
} usual_lists[] = {
    { "easylist", UBLOCK "thirdparties/easylist/easylist.txt", false },
    { "easyprivacy", UBLOCK "thirdparties/easylist/easyprivacy.txt", false },
    { "ublock-filters", UBLOCK "ublock/filters.min.txt", true },
    { "ublock-badware", UBLOCK "ublock/badware.min.txt", true },
    { "ublock-privacy", UBLOCK "ublock/privacy.min.txt", true },
    { "ublock-quick-fixes", UBLOCK "ublock/quick-fixes.min.txt", true },
    { "ublock-unbreak", UBLOCK "ublock/unbreak.min.txt", true },
    { "urlhaus", UBLOCK "thirdparties/urlhaus-filter/urlhaus-filter-online.txt", false },
};

#define UNFILTERED "unfiltered-hosts"

struct source {
    char name[128];
    char file[PATH_MAX];
    bool is_trusted;
    bool is_usual; // may be missing: a package that is not installed
};

struct plan { // what a database is made from
    struct source sources[LISTS_MOST];
    size_t count;
    char unfiltered[PATH_MAX]; // empty: none
    char directory[PATH_MAX - 32];
    char key[KEY_HEX + 1];
};

struct rules {
    struct loop *loop;
    const struct rules_events *events;
    void *owner;
    int fd;
    uint64_t size_bytes;
    char key[KEY_HEX + 1]; // of what is in force
    struct plan *plan;     // under way
    struct config *next;   // to be built after it
    pid_t pid;
    ev_io report; // what the compiler says went wrong; it ends when the compiler does
    char problem[PROBLEM_BYTES];
    size_t problem_size;
    struct loop_timer patience;
    struct loop_task soon;
};

/* ---- what it is made from ---- */

static void add_source(struct plan *plan, struct span name, const char *file, bool is_trusted,
                       bool is_usual)
{
    struct source *source;

    if (plan->count == LISTS_MOST) {
        log_error("more than %d lists; %s is left out", LISTS_MOST, file);
        return;
    }
    source = &plan->sources[plan->count++];
    snprintf(source->name, sizeof source->name, "%.*s", SPAN_PRINT(name));
    snprintf(source->file, sizeof source->file, "%s", file);
    source->is_trusted = is_trusted;
    source->is_usual = is_usual;
}

static int is_rules_file(const struct dirent *entry)
{
    struct span name = span_text(entry->d_name);

    return name.size > 4 && name.at[0] != '.' && span_ends(name, SPAN(".txt"));
}

static void add_own_rules(struct plan *plan, const struct config *config)
{
    char directory[PATH_MAX - 260], file[PATH_MAX];
    struct dirent **entries;
    int count;

    if (config->rules_dir.size) {
        if (config->rules_dir.size >= sizeof directory)
            return; // the config's check has said so
        snprintf(directory, sizeof directory, "%.*s", SPAN_PRINT(config->rules_dir));
    } else if (!config_default_dir(CONFIG_RULES_DIR, directory, sizeof directory)) {
        return;
    }
    count = scandir(directory, &entries, is_rules_file, alphasort);
    if (count < 0 && (errno != ENOENT || config->rules_dir.size))
        log_warning("rules of your own: cannot read %s: %s", directory, strerror(errno));
    for (int i = 0; i < count; i++) {
        snprintf(file, sizeof file, "%s/%.255s", directory, entries[i]->d_name);
        add_source(plan, span_text(file), file, true, false);
        free(entries[i]);
    }
    if (count >= 0)
        free(entries);
}

static void find_unfiltered(struct plan *plan, const struct config *config)
{
    if (config->unfiltered_hosts.size)
        snprintf(plan->unfiltered, sizeof plan->unfiltered, "%.*s",
                 SPAN_PRINT(config->unfiltered_hosts));
    else if (!installation_data_file(plan->unfiltered, sizeof plan->unfiltered, UNFILTERED))
        log_warning("there is no list %s: no host is kept from being filtered by it", UNFILTERED);
}

enum { LOOK_BYTES = 100 };

/* What tells whether a file has changed: size, time and inode, in one line. */
static const char *look_of(const char *file, char look[LOOK_BYTES])
{
    struct stat about = { 0 };

    if (stat(file, &about) < 0)
        about.st_size = -1;
    snprintf(look, LOOK_BYTES, "%lld %lld.%ld %llu", (long long)about.st_size,
             (long long)about.st_mtim.tv_sec, about.st_mtim.tv_nsec,
             (unsigned long long)about.st_ino);
    return look;
}

/* Names, places and looks of everything that the configuration names. What these files include is
 * known only when they are read: see is_kept(). */
static void make_key(struct plan *plan)
{
    XXH3_state_t *state = XXH3_createState();
    XXH128_canonical_t canonical;
    unsigned version = database_version();

    if (!state)
        abort(); // out of memory
    XXH3_128bits_reset(state);
    XXH3_128bits_update(state, DEJUNK_VERSION, sizeof DEJUNK_VERSION);
    XXH3_128bits_update(state, &version, sizeof version);
    for (size_t i = 0; i <= plan->count; i++) {
        const char *file = i < plan->count ? plan->sources[i].file : plan->unfiltered;
        char line[PATH_MAX + 300], look[LOOK_BYTES];
        int size = snprintf(line, sizeof line, "%s\n%s\n%d\n%s\n",
                            i < plan->count ? plan->sources[i].name : "", file,
                            i < plan->count && plan->sources[i].is_trusted, look_of(file, look));

        XXH3_128bits_update(state, line, (size_t)size);
    }
    XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(state));
    XXH3_freeState(state);
    for (size_t i = 0; i < sizeof canonical.digest; i++)
        snprintf(plan->key + 2 * i, 3, "%02x", canonical.digest[i]);
}

/* The lists and rules of the config; where the database goes and its key are left empty. */
static struct plan *plan_sources(const struct config *config)
{
    struct plan *plan = calloc(1, sizeof *plan);

    if (!plan)
        abort(); // out of memory
    for (size_t i = 0; i < config->list_count; i++) {
        const struct config_list *list = &config->lists[i];
        char file[PATH_MAX];

        snprintf(file, sizeof file, "%.*s", SPAN_PRINT(list->file));
        if (list->enabled)
            add_source(plan, list->name, file, list->trusted, false);
    }
    for (size_t i = 0; config->list_count == 0 && i < sizeof usual_lists / sizeof *usual_lists; i++)
        add_source(plan, span_text(usual_lists[i].name), usual_lists[i].file,
                   usual_lists[i].is_trusted, true);
    add_own_rules(plan, config);
    find_unfiltered(plan, config);
    return plan;
}

static struct plan *plan_new(const struct config *config)
{
    struct plan *plan = plan_sources(config);
    struct error error;

    if (installation_make_state_dir(plan->directory, sizeof plan->directory, config, &error))
        log_error("%s", error.text); // and the compiler will say what comes of it
    make_key(plan);
    return plan;
}

/* ---- the compiler's process ---- */

/* Hosts one a line, `#` comments; "*.example" and "example" both stand for the host and all below
 * it. */
static void add_unfiltered(struct rulebook *rulebook, const struct plan *plan, struct buffer *text)
{
    struct list_summary summary;
    struct error error;
    char line[1024];
    FILE *file;

    if (plan->unfiltered[0] == '\0')
        return;
    file = fopen(plan->unfiltered, "re");
    if (!file) {
        log_warning("hosts that are never filtered: cannot read %s: %s", plan->unfiltered,
                    strerror(errno));
        return;
    }
    text->limit_bytes = UNFILTERED_BYTES;
    while (fgets(line, sizeof line, file)) {
        struct span host = span_text(line);

        host.size = strcspn(line, "#\r\n");
        host = span_trim(host);
        if (span_starts(host, SPAN("*.")))
            host = span_from(host, 2);
        if (host.size && !buffer_printf(text,
                                        "@@||%.*s^$important\n"
                                        "@@||%.*s^$important,document\n",
                                        SPAN_PRINT(host), SPAN_PRINT(host))) {
            log_warning("%s is too long: %.*s and what comes behind it is left out",
                        plan->unfiltered, SPAN_PRINT(host));
            break;
        }
    }
    fclose(file);
    if (rulebook_add_text(rulebook, buffer_span(text), MATCHER_UNFILTERED, true, &summary, &error))
        log_warning("%s", error.text);
}

static void report_list(FILE *report, const struct source *source,
                        const struct list_summary *summary)
{
    fprintf(report, "%s\t%s\t%s\t%u\t%u\t%u\t%u\t%u\n", source->name, source->file,
            source->is_trusted ? "trusted" : "untrusted", summary->lines,
            summary->network + summary->hosts, summary->cosmetic, summary->idle, summary->bad);
}

static void report_include(void *report, const char *path)
{
    char look[LOOK_BYTES];

    fprintf(report, INCLUDE_MARK "%s\t%s\n", look_of(path, look), path);
}

/* The database that is kept, in sealed memory, so that nothing can be done to it any more. */
static enum error_kind read_database(int *fd, uint64_t *size_bytes, const struct plan *plan,
                                     struct error *error)
{
    struct database *database;
    char path[PATH_MAX];
    struct error why;
    enum error_kind kind;
    int file;

    snprintf(path, sizeof path, "%s/rules.db", plan->directory);
    file = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (file < 0)
        return error_errno(error, ERROR_SYSTEM, "cannot read %s", path);
    kind = parcel_pack_file(fd, size_bytes, file, IMAGE_LIMIT, &why);
    close(file);
    if (kind == ERROR_NONE) {
        kind = database_map(&database, *fd, &why);
        if (kind == ERROR_NONE)
            database_unref(&database);
        else
            close(*fd);
    }
    return kind == ERROR_NONE ? kind : error_set(error, kind, "%s: %s", path, why.text);
}

/* The report of the last good database; nothing where there is none. */
static void read_last_good(const struct plan *plan, struct buffer *out)
{
    uint64_t size_bytes;
    char path[PATH_MAX];
    struct error error;
    int fd;

    if (read_database(&fd, &size_bytes, plan, NULL) != ERROR_NONE)
        return;
    close(fd);
    out->limit_bytes = LISTS_REPORT_BYTES;
    snprintf(path, sizeof path, "%s/rules.txt", plan->directory);
    if (keep_read(path, out, &error) != ERROR_NONE)
        log_warning("what the last good rules were made from is not known: %s", error.text);
}

static bool is_in(struct span report, const struct source *source)
{
    char line[sizeof source->name + PATH_MAX + 4];
    int size = snprintf(line, sizeof line, "\n%s\t%s\t", source->name, source->file);

    return span_find(report, span_of(line, (size_t)size)) < report.size;
}

static enum error_kind keep(const struct plan *plan, const char *name, struct span text,
                            mode_t mode, struct error *error)
{
    char place[PATH_MAX];

    snprintf(place, sizeof place, "%s/%s", plan->directory, name);
    return keep_write(place, text, mode, NULL, error);
}

/* How lists are read: for a database that is kept, or only to be asked. */
struct reading {
    const struct plan *plan;
    struct rulebook *rulebook;
    struct buffer unfiltered; // must outlive the rulebook
    size_t used;              // lists that could be read
    FILE *report;             // a line for each of them; NULL: nobody reads it
    struct buffer last_good;  // the report of the database that is kept, if it is good
    struct error lost;        // the first list that the last good one has and that cannot be read
};

static void read_list(struct reading *reading, const struct source *source)
{
    struct list_summary summary;
    struct error error;

    if (rulebook_add(reading->rulebook, source->file, source->name, source->is_trusted, &summary,
                     &error) == ERROR_NONE) {
        if (reading->report)
            report_list(reading->report, source, &summary);
        reading->used++;
    } else if (reading->lost.kind == ERROR_NONE &&
               is_in(buffer_span(&reading->last_good), source)) {
        error_set(&reading->lost, error.kind, "list %s: %s", source->name, error.text);
    } else if (!source->is_usual || access(source->file, F_OK) == 0) {
        log_warning("list %s: %s", source->name, error.text);
    }
}

static void read_lists(struct reading *reading)
{
    struct error error;

    if (reading->report)
        rulebook_on_include(reading->rulebook, report_include, reading->report);
    if (rulebook_add_suffixes(reading->rulebook, NULL, &error))
        log_warning("%s", error.text);
    for (size_t i = 0; i < reading->plan->count; i++)
        read_list(reading, &reading->plan->sources[i]);
    add_unfiltered(reading->rulebook, reading->plan, &reading->unfiltered);
}

size_t rules_read(struct rulebook *rulebook, const struct config *config, struct buffer *unfiltered)
{
    struct plan *plan = plan_sources(config);
    struct reading reading = { .plan = plan, .rulebook = rulebook };

    read_lists(&reading);
    *unfiltered = reading.unfiltered;
    free(plan);
    return reading.used;
}

/* The database, and the report to `report`. */
static enum error_kind make_database(const struct plan *plan, FILE *report, struct error *error)
{
    struct reading reading = { .plan = plan,
                               .rulebook = rulebook_new(NULL, NULL),
                               .report = report };
    struct compile_counts counts;
    struct span image;
    enum error_kind kind;

    read_last_good(plan, &reading.last_good);
    read_lists(&reading);
    if (reading.lost.kind != ERROR_NONE)
        return error_set(error, reading.lost.kind, "%s", reading.lost.text);
    if (reading.used == 0)
        log_warning("no filter list could be read: everything is only relayed");
    kind = rulebook_compile(reading.rulebook, &image, &counts, error);
    if (kind == ERROR_NONE)
        kind = keep(plan, "rules.db", image, 0600, error);
    if (kind != ERROR_NONE)
        return kind;
    fprintf(report, "# %u hosts, %u other rules\n", counts.plain_hosts, counts.rules);
    log_notice("%zu lists compiled: %u hosts and %u other rules", reading.used, counts.plain_hosts,
               counts.rules);
    return ERROR_NONE; // memory goes with the process
}

/* The report goes last: without the key in it the database is made again. */
static enum error_kind compile(const struct plan *plan, struct error *error)
{
    char *text = NULL;
    size_t size = 0;
    FILE *report = open_memstream(&text, &size);
    enum error_kind kind;

    if (!report)
        abort();
    fprintf(report, "%s\n", plan->key);
    kind = make_database(plan, report, error);
    if (fclose(report) != 0)
        abort(); // it is in memory
    return kind ? kind : keep(plan, "rules.txt", span_of(text, size), 0644, error);
}

static _Noreturn void run_compiler(const struct plan *plan, int report)
{
    struct rlimit memory = { RULES_MEMORY_BYTES, RULES_MEMORY_BYTES };
    struct rlimit cpu = { RULES_CPU_S, RULES_CPU_S };
    struct error error = { .kind = ERROR_NONE };

    child_keep_only(&report, 1);
    log_start("compiler", log_is_on(LOG_LEVEL_DEBUG) ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO);
#if !defined(__SANITIZE_ADDRESS__)
    setrlimit(RLIMIT_AS, &memory);
#else
    (void)memory; // the sanitizer maps terabytes
#endif
    setrlimit(RLIMIT_CPU, &cpu);
    if (compile(plan, &error) == ERROR_NONE)
        _exit(EX_OK);
    dprintf(report, "%.*s", PROBLEM_BYTES - 1, error.text); // a lost one is told as any end
    _exit(EX_CANTCREAT);
}

/* ---- the master's side ---- */

/* Has a file that was included, by its line of the report, changed since? */
static bool include_has_changed(char *line)
{
    char look[LOOK_BYTES], *was = line + sizeof INCLUDE_MARK - 1, *file = strchr(was, '\t');

    if (!file)
        return true;
    *file++ = '\0';
    file[strcspn(file, "\n")] = '\0';
    return strcmp(look_of(file, look), was) != 0;
}

/* Is the database in the state directory made from just this? */
static bool is_kept(const struct plan *plan)
{
    char path[PATH_MAX], line[PATH_MAX + LOOK_BYTES + sizeof INCLUDE_MARK] = "";
    bool is_same;
    FILE *file;

    snprintf(path, sizeof path, "%s/rules.txt", plan->directory);
    file = fopen(path, "re");
    if (!file)
        return false;
    is_same = fgets(line, sizeof line, file) != NULL;
    line[strcspn(line, "\n")] = '\0';
    is_same = is_same && strcmp(line, plan->key) == 0;
    while (is_same && fgets(line, sizeof line, file))
        if (strncmp(line, INCLUDE_MARK, sizeof INCLUDE_MARK - 1) == 0)
            is_same = !include_has_changed(line);
    fclose(file);
    return is_same;
}

/* Opens what is in the state directory. */
static enum error_kind take_database(struct rules *rules, struct error *error)
{
    uint64_t size_bytes;
    int fd;
    enum error_kind kind = read_database(&fd, &size_bytes, rules->plan, error);

    if (kind != ERROR_NONE)
        return kind;
    if (rules->fd >= 0)
        close(rules->fd);
    rules->fd = fd;
    rules->size_bytes = size_bytes;
    log_info("rules are in %s/rules.db, %llu kB", rules->plan->directory,
             (unsigned long long)(size_bytes + 999) / 1000);
    return ERROR_NONE;
}

static void start_build(struct rules *rules, struct config *config);

static void finish(struct rules *rules, bool is_new, const char *problem)
{
    struct config *next = rules->next;

    free(rules->plan);
    rules->plan = NULL;
    rules->next = NULL;
    rules->events->on_built(rules->owner, is_new, problem);
    if (next) {
        start_build(rules, next);
        config_unref(&next);
    }
}

/* What was made from just this is in force from now on, if it is whole. */
static enum error_kind use_kept(struct rules *rules, struct error *error)
{
    enum error_kind kind = take_database(rules, error);

    if (kind != ERROR_NONE)
        return kind;
    memcpy(rules->key, rules->plan->key, sizeof rules->key);
    finish(rules, true, NULL);
    return ERROR_NONE;
}

/* At the start an older one is better than none. */
static void do_without_new(struct rules *rules, const char *problem)
{
    finish(rules, rules->fd < 0 && take_database(rules, NULL) == ERROR_NONE, problem);
}

static void start_compiler(struct rules *rules);

static void on_kept(void *owner)
{
    struct rules *rules = owner;
    struct error error;

    if (strcmp(rules->key, rules->plan->key) == 0) { // it is in force already
        finish(rules, false, NULL);
    } else if (use_kept(rules, &error) != ERROR_NONE) {
        log_warning("the rules are compiled anew: %s", error.text);
        start_compiler(rules);
    }
}

static void on_compiler_ended(struct rules *rules)
{
    struct error error;
    int status = 0;

    ev_io_stop(rules->loop->ev, &rules->report);
    loop_timer_stop(&rules->patience);
    close(rules->report.fd);
    waitpid(rules->pid, &status, 0);
    rules->pid = 0;
    rules->problem[rules->problem_size] = '\0';
    if (WIFEXITED(status) && WEXITSTATUS(status) == EX_OK) {
        if (use_kept(rules, &error) != ERROR_NONE)
            do_without_new(rules, error.text);
        return;
    }
    if (WIFSIGNALED(status))
        snprintf(rules->problem, sizeof rules->problem,
                 "the compiler was ended by signal %d: out of memory or time", WTERMSIG(status));
    else if (rules->problem_size == 0)
        snprintf(rules->problem, sizeof rules->problem, "the compiler ended with exit code %d",
                 WEXITSTATUS(status));
    do_without_new(rules, rules->problem);
}

static void on_report(struct ev_loop *ev, ev_io *watch, int events)
{
    struct rules *rules = watch->data;
    ssize_t size = read(watch->fd, rules->problem + rules->problem_size,
                        sizeof rules->problem - 1 - rules->problem_size);

    (void)ev;
    (void)events;
    if (size > 0)
        rules->problem_size += (size_t)size;
    else if (size == 0 || (errno != EAGAIN && errno != EINTR))
        on_compiler_ended(rules);
}

static void on_patience_over(void *owner)
{
    struct rules *rules = owner;

    kill(rules->pid, SIGKILL); // the end of its report follows
}

static void start_compiler(struct rules *rules)
{
    int report[2];

    if (pipe2(report, O_CLOEXEC) < 0) {
        do_without_new(rules, "no pipe to the compiler");
        return;
    }
    rules->pid = child_fork();
    if (rules->pid == 0) {
        close(report[0]);
        run_compiler(rules->plan, report[1]);
    }
    close(report[1]);
    if (rules->pid < 0) {
        rules->pid = 0;
        close(report[0]);
        do_without_new(rules, "no process for the compiler");
        return;
    }
    fcntl(report[0], F_SETFL, O_NONBLOCK);
    rules->problem_size = 0;
    ev_io_init(&rules->report, on_report, report[0], EV_READ);
    rules->report.data = rules;
    ev_io_start(rules->loop->ev, &rules->report);
    loop_timer_set(&rules->patience, RULES_PATIENCE_MS);
}

static void start_build(struct rules *rules, struct config *config)
{
    rules->plan = plan_new(config);
    if (is_kept(rules->plan))
        loop_later(rules->loop, &rules->soon);
    else
        start_compiler(rules);
}

struct rules *rules_new(struct loop *loop, const struct rules_events *events, void *owner)
{
    struct rules *rules = calloc(1, sizeof *rules);

    if (!rules)
        abort(); // out of memory
    rules->loop = loop;
    rules->events = events;
    rules->owner = owner;
    rules->fd = -1;
    loop_timer_init(&rules->patience, loop, on_patience_over, rules);
    rules->soon.run = on_kept;
    rules->soon.owner = rules;
    return rules;
}

void rules_free(struct rules **rules)
{
    struct rules *old = *rules;

    *rules = NULL;
    if (!old)
        return;
    if (old->pid > 0) {
        kill(old->pid, SIGKILL);
        waitpid(old->pid, NULL, 0);
        ev_io_stop(old->loop->ev, &old->report);
        close(old->report.fd);
    }
    loop_timer_stop(&old->patience);
    loop_later_cancel(old->loop, &old->soon);
    config_unref(&old->next);
    free(old->plan);
    if (old->fd >= 0)
        close(old->fd);
    free(old);
}

void rules_build(struct rules *rules, struct config *config)
{
    if (rules->plan) {
        config_unref(&rules->next);
        rules->next = config;
        config_ref(config);
        return;
    }
    start_build(rules, config);
}

int rules_fd(const struct rules *rules, uint64_t *size_bytes)
{
    *size_bytes = rules->size_bytes;
    return rules->fd;
}
