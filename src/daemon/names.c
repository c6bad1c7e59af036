#include "daemon/names.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/keep.h"
#include "base/log.h"
#include "io/resolve_files.h"

enum {
    FILES = 2, // resolv.conf, hosts
    LOOK_MS = 1000,
    WATCHES = 256, // of both files; no sane path has so many components
    DIRECTORY_EVENTS = IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_CLOSE_WRITE |
                       IN_MODIFY | IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR,
    FILE_EVENTS = IN_CLOSE_WRITE | IN_MODIFY | IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF,
};

struct looks { // what stat(2) said when the file was read
    bool is_there;
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec changed;
};

struct file {
    char path[PATH_MAX];
    struct buffer text; // its limit is that of the file
    struct looks looks;
};

struct watch {
    int wd;
    char name[NAME_MAX + 1]; // in that directory; empty: the file itself
};

struct names {
    struct loop *loop;
    struct file files[FILES];
    struct buffer numbered; // resolv.conf as workers get it
    int inotify_fd;         // -1: only the look each second is left
    ev_io events;
    struct watch watches[WATCHES];
    size_t watch_count;
    struct loop_timer quiet, look;
    uint64_t first_sign_ms; // of the change that is under way
    bool is_changing;
    void (*on_changed)(void *owner);
    void *owner;
};

static struct looks look_at(const char *path)
{
    struct stat about;

    if (stat(path, &about) < 0)
        return (struct looks){ .is_there = false };
    return (struct looks){ true, about.st_dev, about.st_ino, about.st_size, about.st_mtim };
}

static bool looks_equal(const struct looks *a, const struct looks *b)
{
    return a->is_there == b->is_there && a->device == b->device && a->inode == b->inode &&
           a->size == b->size && a->changed.tv_sec == b->changed.tv_sec &&
           a->changed.tv_nsec == b->changed.tv_nsec;
}

/* True when the text is another than before. */
static bool read_file(struct file *file)
{
    struct buffer text = { .limit_bytes = file->text.limit_bytes };
    enum error_kind kind = ERROR_NONE;
    struct error error;
    struct stat about;
    bool is_other;
    int fd;

    file->looks = look_at(file->path);
    fd = open(file->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd >= 0 && fstat(fd, &about) == 0 && S_ISREG(about.st_mode))
        kind = keep_read_open(fd, file->path, &text, &error);
    else if (fd >= 0)
        kind = error_set(&error, ERROR_SYSTEM, "%s is no file", file->path);
    else if (errno != ENOENT && errno != ENOTDIR)
        kind = error_errno(&error, ERROR_SYSTEM, "cannot read %s", file->path);
    if (kind != ERROR_NONE)
        log_warning("%s; what it said before stays", error.text);
    if (fd >= 0)
        close(fd);
    is_other = kind == ERROR_NONE && !span_equal(buffer_span(&text), buffer_span(&file->text));
    if (is_other) {
        struct buffer old = file->text;
        file->text = text;
        text = old;
    }
    buffer_release(&text);
    return is_other;
}

static void watch(struct names *names, const char *path, const char *name, uint32_t mask)
{
    struct watch *next = &names->watches[names->watch_count];
    int wd;

    if (names->inotify_fd < 0 || names->watch_count == WATCHES || strlen(name) > NAME_MAX)
        return;
    wd = inotify_add_watch(names->inotify_fd, path, mask | IN_MASK_ADD);
    if (wd < 0)
        return; // gone meanwhile, or not ours to see: the look each second is left
    next->wd = wd;
    memcpy(next->name, name, strlen(name) + 1);
    names->watch_count++;
}

/* Cuts the first component off `rest`; false at the end. "//" and "." are passed over. */
static bool next_component(struct span *rest, struct span *component)
{
    for (;;) {
        while (rest->size > 0 && rest->at[0] == '/')
            *rest = span_from(*rest, 1);
        if (rest->size == 0)
            return false;
        *component = span_slice(*rest, 0, span_find_byte(*rest, '/'));
        *rest = span_from(*rest, component->size);
        if (!span_equal(*component, SPAN(".")))
            return true;
    }
}

static void go_up(char *directory)
{
    char *slash = strrchr(directory, '/');

    *slash = '\0'; // "/a" becomes "", which stands for the root
}

/* `target` and then what was left of the path; false when that is too long. */
static bool follow(char *path, struct span *rest, struct span target)
{
    char whole[PATH_MAX];
    int size = snprintf(whole, sizeof whole, "%.*s/%.*s", SPAN_PRINT(target), SPAN_PRINT(*rest));

    if (size < 0 || (size_t)size >= sizeof whole)
        return false;
    memcpy(path, whole, (size_t)size + 1);
    *rest = span_of(path, (size_t)size);
    return true;
}

/* Walks as the kernel would and watches each step; ends where the path does. */
static void watch_path(struct names *names, const char *from)
{
    char path[PATH_MAX], directory[PATH_MAX] = "", step[PATH_MAX + NAME_MAX + 2];
    char name[NAME_MAX + 1], target[PATH_MAX];
    struct span rest, component;
    int links = 0;

    memcpy(path, from, strlen(from) + 1);
    rest = span_text(path);
    while (next_component(&rest, &component)) {
        struct stat about;
        ssize_t size;

        if (span_equal(component, SPAN(".."))) {
            if (directory[0] != '\0')
                go_up(directory);
            continue;
        }
        if (component.size > NAME_MAX)
            return;
        memcpy(name, component.at, component.size);
        name[component.size] = '\0';
        snprintf(step, sizeof step, "%s/%s", directory, name);
        watch(names, directory[0] != '\0' ? directory : "/", name, DIRECTORY_EVENTS);
        if (lstat(step, &about) < 0 || strlen(step) >= PATH_MAX)
            return;
        if (S_ISLNK(about.st_mode)) {
            size = readlink(step, target, sizeof target);
            if (size <= 0 || (size_t)size >= sizeof target || ++links > NAMES_LINKS ||
                !follow(path, &rest, span_of(target, (size_t)size)))
                return;
            if (target[0] == '/')
                directory[0] = '\0';
        } else if (S_ISDIR(about.st_mode)) {
            memcpy(directory, step, strlen(step) + 1);
        } else {
            watch(names, step, "", FILE_EVENTS);
            return;
        }
    }
}

/* Links come and go, so this is done anew each second where there is a scope. True when the text is
 * another than before. */
static bool number_scopes(struct names *names)
{
    struct buffer text = { .limit_bytes = NAMES_RESOLV_CONF_BYTES };
    struct span from = buffer_span(&names->files[0].text);
    bool is_other;

    if (!resolve_conf_number_scopes(&text, from)) { // by a few bytes too long
        text.size = 0;
        buffer_append(&text, from);
    }
    is_other = !span_equal(buffer_span(&text), buffer_span(&names->numbered));
    if (is_other) {
        struct buffer old = names->numbered;
        names->numbered = text;
        text = old;
    }
    buffer_release(&text);
    return is_other;
}

static void stop_watching(struct names *names)
{
    if (names->inotify_fd < 0)
        return;
    ev_io_stop(names->loop->ev, &names->events);
    close(names->inotify_fd);
    names->inotify_fd = -1;
    names->watch_count = 0;
}

static void on_events(struct ev_loop *ev, ev_io *watcher, int revents);

/* Watches first, then reads: a change between the two is seen as an event. Watching anew each
 * time is what keeps up with directories and links that change. True when a text changed. */
static bool watch_and_read(struct names *names)
{
    bool has_changed = false;

    stop_watching(names);
    names->inotify_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (names->inotify_fd >= 0) {
        for (size_t i = 0; i < FILES; i++)
            watch_path(names, names->files[i].path);
        ev_io_init(&names->events, on_events, names->inotify_fd, EV_READ);
        names->events.data = names;
        ev_io_start(names->loop->ev, &names->events);
    }
    read_file(&names->files[0]);
    has_changed |= number_scopes(names);
    has_changed |= read_file(&names->files[1]);
    return has_changed;
}

static void on_quiet(void *owner)
{
    struct names *names = owner;

    names->is_changing = false;
    if (watch_and_read(names))
        names->on_changed(names->owner);
}

static void see_sign(struct names *names)
{
    uint64_t now = loop_now_ms(names->loop), left = NAMES_QUIET_MS;

    if (!names->is_changing) {
        names->is_changing = true;
        names->first_sign_ms = now;
    }
    if (now + left > names->first_sign_ms + NAMES_PATIENCE_MS)
        left = now < names->first_sign_ms + NAMES_PATIENCE_MS
                   ? names->first_sign_ms + NAMES_PATIENCE_MS - now
                   : 0;
    loop_timer_set(&names->quiet, left);
}

static bool concerns_us(const struct names *names, const struct inotify_event *event)
{
    if (event->mask & IN_Q_OVERFLOW)
        return true;
    for (size_t i = 0; i < names->watch_count; i++) {
        const struct watch *watched = &names->watches[i];

        if (watched->wd == event->wd &&
            (event->len == 0 || strcmp(watched->name, event->name) == 0))
            return true;
    }
    return false;
}

static void on_events(struct ev_loop *ev, ev_io *watcher, int revents)
{
    struct names *names = watcher->data;
    union {
        char bytes[16 * (sizeof(struct inotify_event) + NAME_MAX + 1)];
        struct inotify_event align;
    } room;
    ssize_t got;
    bool ours = false;

    (void)ev;
    (void)revents;
    while ((got = read(names->inotify_fd, &room, sizeof room)) > 0) {
        for (ssize_t at = 0; at < got;) {
            const struct inotify_event *event = (const void *)(room.bytes + at);

            ours |= concerns_us(names, event);
            at += (ssize_t)(sizeof *event + event->len);
        }
    }
    if (ours)
        see_sign(names);
}

static void on_look(void *owner)
{
    struct names *names = owner;

    loop_timer_set(&names->look, LOOK_MS);
    for (size_t i = 0; i < FILES; i++) {
        struct looks now = look_at(names->files[i].path);

        if (!looks_equal(&now, &names->files[i].looks) && !names->is_changing)
            see_sign(names);
    }
    if (!names->is_changing && number_scopes(names))
        names->on_changed(names->owner);
}

/* Absolute, so that each step of it can be watched. */
static void set_path(struct file *file, struct span path)
{
    struct buffer whole = { .limit_bytes = sizeof file->path - 1 };
    char here[PATH_MAX];
    bool is_absolute = path.size > 0 && path.at[0] == '/', fits = true;

    if (!is_absolute && getcwd(here, sizeof here))
        fits = buffer_printf(&whole, "%s/", here);
    if (!fits || !buffer_append(&whole, path))
        log_warning("the path of a file is too long: %.*s", SPAN_PRINT(path));
    memcpy(file->path, whole.at ? whole.at : "", whole.size);
    file->path[whole.size] = '\0';
    buffer_release(&whole);
}

bool names_set_paths(struct names *names, struct span resolv_conf_path, struct span hosts_path)
{
    set_path(&names->files[0], resolv_conf_path);
    set_path(&names->files[1], hosts_path);
    return watch_and_read(names);
}

struct names *names_new(struct loop *loop, struct span resolv_conf_path, struct span hosts_path,
                        void (*on_changed)(void *owner), void *owner)
{
    struct names *names = calloc(1, sizeof *names);

    if (!names)
        abort();
    names->loop = loop;
    names->inotify_fd = -1;
    names->on_changed = on_changed;
    names->owner = owner;
    names->files[0].text.limit_bytes = NAMES_RESOLV_CONF_BYTES;
    names->files[1].text.limit_bytes = NAMES_HOSTS_BYTES;
    loop_timer_init(&names->quiet, loop, on_quiet, names);
    loop_timer_init(&names->look, loop, on_look, names);
    names_set_paths(names, resolv_conf_path, hosts_path);
    if (names->inotify_fd < 0)
        log_warning("no inotify: changes of resolv.conf and hosts are looked for each second");
    loop_timer_set(&names->look, LOOK_MS);
    return names;
}

void names_free(struct names **names)
{
    struct names *old = *names;

    if (!old)
        return;
    stop_watching(old);
    loop_timer_stop(&old->quiet);
    loop_timer_stop(&old->look);
    for (size_t i = 0; i < FILES; i++)
        buffer_release(&old->files[i].text);
    buffer_release(&old->numbered);
    free(old);
    *names = NULL;
}

struct names_texts names_texts(const struct names *names)
{
    return (struct names_texts){ buffer_span(&names->numbered),
                                 buffer_span(&names->files[1].text) };
}
