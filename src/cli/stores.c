#include "cli/stores.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/say.h"

enum { OUTPUT_BYTES = 4096, ARGUMENTS = 12 };

static const char search_path[] =
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/* ---- other programs ---- */

struct person { // whose databases they are
    char home[PATH_MAX];
    uid_t user;
    gid_t group;
    bool is_other; // not us: we are root for them
};

struct job {
    const char *arguments[ARGUMENTS];
    struct span input;         // at most what a pipe holds
    const struct person *as;   // NULL: as we are
    char output[OUTPUT_BYTES]; // both of its outputs; NUL-ended, cut
};

/* In the child: nothing here returns on success. */
static void become(const struct job *job, const int in[2], const int out[2])
{
    char *environment[] = { (char *)search_path, (char *)"LC_ALL=C", NULL, NULL };
    char home[PATH_MAX + 8];

    signal(SIGPIPE, SIG_DFL);
    dup2(in[0], STDIN_FILENO);
    dup2(out[1], STDOUT_FILENO);
    dup2(out[1], STDERR_FILENO);
    if (job->as && job->as->is_other &&
        (setgroups(0, NULL) != 0 || setgid(job->as->group) != 0 || setuid(job->as->user) != 0))
        _exit(126);
    if (job->as) {
        snprintf(home, sizeof home, "HOME=%s", job->as->home);
        environment[2] = home;
    }
    if (chdir("/") != 0)
        _exit(126);
    // The search is ours, not the caller's environment's.
    if (putenv((char *)search_path) == 0)
        execvpe(job->arguments[0], (char **)job->arguments, environment);
    _exit(errno == ENOENT ? 127 : 126);
}

static void collect(struct job *job, int fd)
{
    size_t size = 0;
    char rest[512];
    ssize_t got;

    do {
        bool fits = size < sizeof job->output - 1;

        got = fits ? read(fd, job->output + size, sizeof job->output - 1 - size)
                   : read(fd, rest, sizeof rest);
        if (got > 0 && fits)
            size += (size_t)got;
    } while (got > 0 || (got < 0 && errno == EINTR));
    job->output[size] = '\0';
}

/* The program's exit code; 127 where there is none of that name, -1 where it could not be run. */
static int run(struct job *job)
{
    struct sigaction before, during = { .sa_handler = SIG_IGN };
    int in[2], out[2], status;
    pid_t child;

    job->output[0] = '\0';
    if (pipe2(in, O_CLOEXEC) != 0)
        return -1;
    if (pipe2(out, O_CLOEXEC) != 0) {
        close(in[0]);
        close(in[1]);
        return -1;
    }
    fflush(stdout);
    child = fork();
    if (child == 0)
        become(job, in, out);
    close(in[0]);
    close(out[1]);
    sigaction(SIGPIPE, &during, &before); // it need not read what it is given
    if (child > 0 && job->input.size)
        (void)!write(in[1], job->input.at, job->input.size);
    sigaction(SIGPIPE, &before, NULL);
    close(in[1]);
    if (child > 0)
        collect(job, out[0]);
    close(out[0]);
    if (child < 0)
        return -1;
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* The last line that a program said, for a complaint. */
static const char *last_line(struct job *job)
{
    size_t size = strlen(job->output);
    char *line;

    while (size && (job->output[size - 1] == '\n' || job->output[size - 1] == ' '))
        job->output[--size] = '\0';
    line = strrchr(job->output, '\n');
    return line ? line + 1 : job->output;
}

/* ---- the system's store ---- */

static const struct {
    const char *directory, *suffix;
    const char *tool[3];
    const char *after_removal[3];
} systems[] = {
    { "/usr/local/share/ca-certificates",
      ".crt", // Debian
      { "update-ca-certificates", NULL, NULL },
      { "update-ca-certificates", "--fresh", NULL } },
    { "/etc/pki/ca-trust/source/anchors",
      ".pem", // Fedora
      { "update-ca-trust", NULL, NULL },
      { "update-ca-trust", NULL, NULL } },
    { "/etc/ca-certificates/trust-source/anchors",
      ".crt", // Arch
      { "trust", "extract-compat", NULL },
      { "trust", "extract-compat", NULL } },
};
enum { SYSTEMS = sizeof systems / sizeof *systems };

static size_t find_system(void)
{
    size_t i = 0;

    while (i < SYSTEMS && access(systems[i].directory, F_OK) != 0)
        i++;
    return i;
}

static bool run_tool(const char *const tool[3])
{
    struct job job = { .arguments = { tool[0], tool[1] } };
    int code = run(&job);

    if (code == 127)
        say_error("there is no %s here", tool[0]);
    else if (code != 0)
        say_error("%s failed: %s", tool[0], last_line(&job));
    return code == 0;
}

static bool write_file(const char *path, struct span text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);
    bool good =
        fd >= 0 && fchmod(fd, 0644) == 0 && write(fd, text.at, text.size) == (ssize_t)text.size;

    if (fd >= 0)
        good = close(fd) == 0 && good;
    if (!good)
        say_error("cannot write %s: %s", path, strerror(errno));
    return good;
}

static void path_in_system(char to[PATH_MAX], size_t at, const struct store_certificate *of)
{
    snprintf(to, PATH_MAX, "%s/dejunk-%s%s", systems[at].directory, of->id, systems[at].suffix);
}

static void trust_in_system(const struct store_certificate *certificate,
                            struct store_counts *counts)
{
    size_t at = find_system();
    char path[PATH_MAX];

    if (at == SYSTEMS) {
        printf("system     no store of a known kind was found\n");
        return;
    }
    counts->found++;
    if (access(systems[at].directory, W_OK) != 0) {
        printf("system     left alone: only root may change it (sudo dejunk ca trust)\n");
        counts->failed++;
        return;
    }
    path_in_system(path, at, certificate);
    if (!write_file(path, certificate->pem) || !run_tool(systems[at].tool)) {
        counts->failed++;
        return;
    }
    printf("system     trusted: %s, %s\n", path, systems[at].tool[0]);
    counts->done++;
}

static void untrust_in_system(const struct store_certificate *certificate,
                              struct store_counts *counts)
{
    size_t at = find_system();
    char path[PATH_MAX];

    if (at == SYSTEMS)
        return;
    path_in_system(path, at, certificate);
    if (access(path, F_OK) != 0)
        return;
    counts->found++;
    if (unlink(path) != 0) {
        say_error("cannot remove %s: %s", path, strerror(errno));
        counts->failed++;
        return;
    }
    if (!run_tool(systems[at].after_removal)) {
        counts->failed++;
        return;
    }
    printf("system     no longer trusted: removed %s, %s\n", path, systems[at].tool[0]);
    counts->done++;
}

/* ---- NSS databases ---- */

static const struct {
    const char *place; // below the home
    bool has_profiles; // each folder in it may be one
} places[] = {
    { ".pki/nssdb", false },
    { ".local/share/pki/nssdb", false },
    { "snap/chromium/current/.pki/nssdb", false },
    { ".var/app/org.chromium.Chromium/data/pki/nssdb", false },
    { ".mozilla/firefox", true },
    { ".config/mozilla/firefox", true },
    { "snap/firefox/common/.mozilla/firefox", true },
    { ".var/app/org.mozilla.firefox/.mozilla/firefox", true },
    { ".var/app/org.mozilla.firefox/config/mozilla/firefox", true },
    { ".librewolf", true },
    { ".waterfox", true },
    { ".thunderbird", true },
};

/* Who called sudo, or else whose HOME it is. */
static bool find_person(struct person *person)
{
    const char *sudo = geteuid() == 0 ? getenv("SUDO_UID") : NULL, *home = getenv("HOME");
    const struct passwd *entry = NULL;
    uint64_t number;

    *person = (struct person){ .user = geteuid(), .group = getegid() };
    if (sudo && span_to_u64(span_text(sudo), &number) && number > 0 && number < UINT32_MAX)
        entry = getpwuid((uid_t)number);
    if (entry) {
        person->user = entry->pw_uid;
        person->group = entry->pw_gid;
        person->is_other = true;
        home = entry->pw_dir;
    }
    if (!home || home[0] != '/' || strlen(home) >= sizeof person->home - 256)
        return false;
    memcpy(person->home, home, strlen(home) + 1);
    return true;
}

typedef void visit_database(const char *database, void *owner);

static bool has_database(const char *folder)
{
    char path[PATH_MAX + 16];

    snprintf(path, sizeof path, "%s/cert9.db", folder);
    return access(path, F_OK) == 0;
}

static size_t visit_profiles(const char *folder, size_t left, visit_database *visit, void *owner)
{
    DIR *list = opendir(folder);
    const struct dirent *entry;
    char path[PATH_MAX];
    size_t count = 0;

    while (list && count < left && (entry = readdir(list))) {
        if (entry->d_name[0] == '.' ||
            snprintf(path, sizeof path, "%s/%s", folder, entry->d_name) >= (int)sizeof path ||
            !has_database(path))
            continue;
        visit(path, owner);
        count++;
    }
    if (list)
        closedir(list);
    return count;
}

static size_t visit_databases(const struct person *person, visit_database *visit, void *owner)
{
    char folder[PATH_MAX];
    size_t count = 0;

    for (size_t i = 0; i < sizeof places / sizeof *places && count < STORES_DATABASES; i++) {
        if (snprintf(folder, sizeof folder, "%s/%s", person->home, places[i].place) >=
            (int)sizeof folder)
            continue;
        if (places[i].has_profiles) {
            count += visit_profiles(folder, STORES_DATABASES - count, visit, owner);
        } else if (has_database(folder)) {
            visit(folder, owner);
            count++;
        }
    }
    return count;
}

struct visit {
    const struct store_certificate *certificate;
    const struct person *person;
    struct store_counts *counts;
    bool has_no_tool;
};

/* `more` ends with NULL. */
static int certutil(struct job *job, const char *database, const struct visit *visit,
                    const char *const *more)
{
    char name[PATH_MAX + 8];
    size_t count = 0;
    int code;

    snprintf(name, sizeof name, "sql:%s", database);
    *job = (struct job){ .as = visit->person };
    job->arguments[count++] = "certutil";
    while (*more)
        job->arguments[count++] = *more++;
    job->arguments[count++] = "-d";
    job->arguments[count++] = name;
    job->arguments[count++] = "-n";
    job->arguments[count++] = visit->certificate->name;
    // A database under a password fails with an empty one instead of asking for it.
    job->arguments[count++] = "-f";
    job->arguments[count++] = "/dev/null";
    if (strcmp(more[-1], "-a") == 0)
        job->input = visit->certificate->pem;
    code = run(job);
    memset(job->arguments, 0, sizeof job->arguments); // they end here
    return code;
}

static void complain(struct visit *visit, const char *database, struct job *job, int code)
{
    visit->counts->failed++;
    if (code == 127) {
        if (!visit->has_no_tool)
            say_error("there is no certutil here (Debian: apt install libnss3-tools)");
        visit->has_no_tool = true;
        return;
    }
    say_error("%s: %s", database, last_line(job));
}

static void trust_in_database(const char *database, void *owner)
{
    static const char *const add[] = { "-A", "-t", "C,,", "-a", NULL };
    struct visit *visit = owner;
    struct job job;
    int code = certutil(&job, database, visit, add);

    visit->counts->found++;
    if (code != 0) {
        complain(visit, database, &job, code);
        return;
    }
    printf("browser    trusted: %s\n", database);
    visit->counts->done++;
}

static void untrust_in_database(const char *database, void *owner)
{
    static const char *const show[] = { "-L", NULL }, *const drop[] = { "-D", NULL };
    struct visit *visit = owner;
    struct job job;
    int code = certutil(&job, database, visit, show);

    if (code == 127)
        complain(visit, database, &job, code);
    if (code != 0)
        return; // it is not in there
    visit->counts->found++;
    code = certutil(&job, database, visit, drop);
    if (code != 0) {
        complain(visit, database, &job, code);
        return;
    }
    printf("browser    no longer trusted: %s\n", database);
    visit->counts->done++;
}

/* ---- both ---- */

struct store_counts stores_trust(const struct store_certificate *certificate, unsigned which)
{
    struct store_counts counts = { 0 };
    struct person person;
    struct visit visit = { .certificate = certificate, .person = &person, .counts = &counts };

    if (which & STORES_SYSTEM)
        trust_in_system(certificate, &counts);
    if ((which & STORES_BROWSERS) && find_person(&person) &&
        visit_databases(&person, trust_in_database, &visit) == 0)
        printf("browser    no database below %s: start the browser once, then again\n",
               person.home);
    return counts;
}

struct store_counts stores_untrust(const struct store_certificate *certificate, unsigned which)
{
    struct store_counts counts = { 0 };
    struct person person;
    struct visit visit = { .certificate = certificate, .person = &person, .counts = &counts };

    if (which & STORES_SYSTEM)
        untrust_in_system(certificate, &counts);
    if ((which & STORES_BROWSERS) && find_person(&person))
        visit_databases(&person, untrust_in_database, &visit);
    return counts;
}
