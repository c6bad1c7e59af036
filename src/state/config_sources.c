#include "state/config_sources.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

// Main file, drop-ins and settings: their texts and names, with room to spare.
enum { SOURCES = 1 + CONFIG_DROP_INS + 1 };
static const size_t arena_limit_bytes = (size_t)SOURCES * (CONFIG_SOURCE_BYTES + 2 * PATH_MAX) * 2;

static enum error_kind too_large(const char *name, struct error *error)
{
    return error_set(error, ERROR_CONFIG, "%s:1: larger than %d bytes", name, CONFIG_SOURCE_BYTES);
}

static enum error_kind read_descriptor(struct arena *arena, int fd, const char *name,
                                       struct span *out, struct error *error)
{
    struct span text = span_of("", 0);
    char block[16384];
    ssize_t got;

    for (;;) {
        got = read(fd, block, sizeof block);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        if (text.size + (size_t)got > CONFIG_SOURCE_BYTES)
            return too_large(name, error);
        if (!arena_extend(arena, &text, span_of(block, (size_t)got)))
            return too_large(name, error);
    }
    if (got < 0)
        return error_errno(error, ERROR_CONFIG, "%s: cannot read it", name);
    *out = text;
    return ERROR_NONE;
}

static enum error_kind read_file(struct config_sources *sources, const char *path,
                                 struct error *error)
{
    struct config_source *source = &sources->items[sources->count];
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    enum error_kind kind;

    if (fd < 0)
        return error_errno(error, ERROR_CONFIG, "%s: cannot open it", path);
    kind = read_descriptor(&sources->arena, fd, path, &source->text, error);
    close(fd);
    if (kind)
        return kind;
    source->name = arena_copy(&sources->arena, span_text(path));
    if (!source->name.at)
        return too_large(path, error);
    sources->count++;
    return ERROR_NONE;
}

static int is_drop_in(const struct dirent *entry)
{
    struct span name = span_text(entry->d_name);

    return name.size > 5 && name.at[0] != '.' && span_ends(name, SPAN(".conf"));
}

static int by_bytes(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static bool has_drop_ins(const char *path)
{
    char name[PATH_MAX + 8];
    struct dirent **entries = NULL;
    int count;

    snprintf(name, sizeof name, "%s.d", path);
    count = scandir(name, &entries, is_drop_in, NULL);
    for (int i = 0; i < count; i++)
        free(entries[i]);
    free(entries);
    return count > 0;
}

/* One that is not there is empty where drop-ins say it all. */
static enum error_kind read_main(struct config_sources *sources, const char *path,
                                 struct error *error)
{
    struct config_source *source = &sources->items[sources->count];

    if (access(path, F_OK) == 0 || errno != ENOENT || !has_drop_ins(path))
        return read_file(sources, path, error);
    *source =
        (struct config_source){ arena_copy(&sources->arena, span_text(path)), span_of("", 0) };
    if (!source->name.at)
        return too_large(path, error);
    sources->count++;
    return ERROR_NONE;
}

static enum error_kind read_drop_ins(struct config_sources *sources, const char *path,
                                     struct error *error)
{
    char name[PATH_MAX + NAME_MAX + 8];
    struct dirent **entries = NULL;
    enum error_kind kind = ERROR_NONE;
    int count;

    snprintf(name, sizeof name, "%s.d", path);
    count = scandir(name, &entries, is_drop_in, by_bytes);
    if (count < 0) {
        if (errno == ENOENT)
            return ERROR_NONE;
        return error_errno(error, ERROR_CONFIG, "%s: cannot read the directory", name);
    }
    if (count > CONFIG_DROP_INS)
        kind =
            error_set(error, ERROR_CONFIG, "%s: more than %d files in it", name, CONFIG_DROP_INS);
    for (int i = 0; i < count; i++) {
        snprintf(name, sizeof name, "%s.d/%s", path, entries[i]->d_name);
        if (!kind)
            kind = read_file(sources, name, error);
        free(entries[i]);
    }
    free(entries);
    return kind;
}

static bool is_one_of(char byte, struct span set)
{
    return span_find_byte(set, byte) < set.size;
}

/* One setting as a line of config text: what is neither a list nor in quotes already is quoted, so
 * that a shell's user need not quote twice. */
static enum error_kind add_setting(struct arena *arena, struct span *text, const char *setting,
                                   size_t number, struct error *error)
{
    struct span whole = span_text(setting);
    size_t equals = span_find_byte(whole, '=');
    struct span value;
    bool is_done;

    if (equals == 0 || equals == whole.size)
        return error_set(error, ERROR_CONFIG, "-D:%zu: a setting has the form NAME=VALUE", number);
    if (span_find_byte(whole, '\n') < whole.size)
        return error_set(error, ERROR_CONFIG, "-D:%zu: a setting is one line", number);
    value = span_trim(span_from(whole, equals + 1));
    is_done = arena_extend(arena, text, span_slice(whole, 0, equals + 1));
    if (value.size > 0 && is_one_of(value.at[0], SPAN("{\"'"))) {
        is_done = is_done && arena_extend(arena, text, value);
    } else {
        is_done = is_done && arena_extend(arena, text, SPAN("\""));
        for (size_t i = 0; i < value.size; i++) {
            if (is_one_of(value.at[i], SPAN("\\\"$")))
                is_done = is_done && arena_extend(arena, text, SPAN("\\"));
            is_done = is_done && arena_extend(arena, text, span_slice(value, i, 1));
        }
        is_done = is_done && arena_extend(arena, text, SPAN("\""));
    }
    is_done = is_done && arena_extend(arena, text, SPAN("\n"));
    if (!is_done || text->size > CONFIG_SOURCE_BYTES)
        return too_large("-D", error);
    return ERROR_NONE;
}

static enum error_kind add_settings(struct config_sources *sources, const char *const *settings,
                                    size_t count, struct error *error)
{
    struct config_source *source = &sources->items[sources->count];
    enum error_kind kind = ERROR_NONE;

    *source = (struct config_source){ SPAN("-D"), span_of("", 0) };
    for (size_t i = 0; i < count && !kind; i++)
        kind = add_setting(&sources->arena, &source->text, settings[i], i + 1, error);
    if (!kind)
        sources->count++;
    return kind;
}

enum error_kind config_sources_read(struct config_sources *out, const char *path,
                                    const char *const *settings, size_t setting_count,
                                    struct error *error)
{
    struct config_sources sources = { 0 };
    enum error_kind kind = ERROR_NONE;

    arena_init(&sources.arena, arena_limit_bytes);
    sources.items = arena_zalloc(&sources.arena, SOURCES * sizeof *sources.items);
    if (path && strlen(path) >= PATH_MAX)
        kind = error_set(error, ERROR_CONFIG, "the name of the config file is too long");
    if (!kind && path)
        kind = read_main(&sources, path, error);
    if (!kind && path)
        kind = read_drop_ins(&sources, path, error);
    if (!kind && setting_count > 0)
        kind = add_settings(&sources, settings, setting_count, error);
    if (kind) {
        config_sources_done(&sources);
        return kind;
    }
    *out = sources;
    return ERROR_NONE;
}

void config_sources_done(struct config_sources *sources)
{
    arena_done(&sources->arena);
    sources->items = NULL;
    sources->count = 0;
}

/* $VARIABLE/BEHIND, or $HOME/ELSE/BEHIND; XDG says that relative paths there are to be ignored. */
static bool join_xdg(char *to, size_t size, const char *variable, const char *otherwise,
                     const char *behind)
{
    const char *base = getenv(variable);
    const char *home = getenv("HOME");
    int length;

    if (base && base[0] == '/')
        length = snprintf(to, size, "%s/%s", base, behind);
    else if (otherwise && home && home[0] == '/')
        length = snprintf(to, size, "%s/%s/%s", home, otherwise, behind);
    else
        length = -1;
    if (length < 0 || (size_t)length >= size) {
        to[0] = '\0';
        return false;
    }
    return true;
}

static bool put(char *to, size_t size, const char *text)
{
    int length = snprintf(to, size, "%s", text);

    return length >= 0 && (size_t)length < size;
}

bool config_default_path(char *to, size_t size)
{
    bool is_named = geteuid() == 0
                        ? put(to, size, "/etc/dejunk/proxy.conf")
                        : join_xdg(to, size, "XDG_CONFIG_HOME", ".config", "dejunk/proxy.conf");

    return is_named && (access(to, F_OK) == 0 || has_drop_ins(to));
}

bool config_default_dir(enum config_dir which, char *to, size_t size)
{
    static const struct {
        const char *service, *root, *variable, *otherwise, *behind;
    } dirs[] = {
        [CONFIG_STATE_DIR] = { "STATE_DIRECTORY", "/var/lib/dejunk", "XDG_STATE_HOME",
                               ".local/state", "dejunk" },
        [CONFIG_RUNTIME_DIR] = { "RUNTIME_DIRECTORY", "/run/dejunk", "XDG_RUNTIME_DIR",
                                 ".local/state", "dejunk" },
        [CONFIG_RULES_DIR] = { NULL, "/etc/dejunk/rules.d", "XDG_CONFIG_HOME", ".config",
                               "dejunk/rules.d" },
    };
    const char *service = dirs[which].service ? getenv(dirs[which].service) : NULL;

    if (service && service[0] == '/') // the first, where systemd names several
        return put(to, size, service) && (to[strcspn(to, ":")] = '\0', true);
    if (geteuid() == 0)
        return put(to, size, dirs[which].root);
    return join_xdg(to, size, dirs[which].variable, dirs[which].otherwise, dirs[which].behind);
}
