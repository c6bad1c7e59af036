#include "trust/vault.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/keep.h"

enum { PATH_BYTES = 4096 };

static enum error_kind path_of(char to[PATH_BYTES], const char *directory, const char *file,
                               struct error *error)
{
    if (snprintf(to, PATH_BYTES, "%s/%s", directory, file) >= PATH_BYTES)
        return error_set(error, ERROR_LIMIT, "the path of %s is too long", file);
    return ERROR_NONE;
}

bool vault_exists(const char *directory)
{
    char path[PATH_BYTES];

    return !path_of(path, directory, VAULT_FILE, NULL) && access(path, F_OK) == 0;
}

static enum error_kind read_all(struct buffer *text, int fd, const char *path, struct error *error)
{
    ssize_t got = 1;

    while (got != 0 && text->size < text->capacity) {
        got = read(fd, text->at + text->size, text->capacity - text->size);
        if (got < 0 && errno != EINTR)
            return error_errno(error, ERROR_SYSTEM, "cannot read %s", path);
        text->size += got > 0 ? (size_t)got : 0;
    }
    return ERROR_NONE;
}

enum error_kind vault_read_file(struct buffer *out, const char *path, int how, bool is_secret,
                                struct error *error)
{
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | how);
    enum error_kind kind;

    if (fd < 0)
        return error_errno(error, ERROR_SYSTEM, "cannot open %s", path);
    out->limit_bytes = AUTHORITY_TEXT_BYTES;
    if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode))
        kind = error_set(error, ERROR_CORRUPT, "%s is no file", path);
    else if (is_secret && (status.st_mode & (S_IRWXG | S_IRWXO)))
        kind = error_set(error, ERROR_FORBIDDEN, "%s may be read by others: chmod 600 it", path);
    else if (!buffer_reserve(out, (size_t)status.st_size))
        kind =
            error_set(error, ERROR_LIMIT, "%s is longer than %d bytes", path, AUTHORITY_TEXT_BYTES);
    else
        kind = read_all(out, fd, path, error);
    close(fd);
    return kind;
}

void vault_wipe(struct buffer *text)
{
    OPENSSL_cleanse(text->at, text->capacity);
    buffer_release(text);
}

enum error_kind vault_load(struct authority **out, const char *directory, struct error *error)
{
    char path[PATH_BYTES];
    struct buffer text = { 0 };
    struct error why;
    enum error_kind kind = path_of(path, directory, VAULT_FILE, error);

    if (kind)
        return kind;
    if (access(path, F_OK) != 0 && errno == ENOENT)
        return error_set(error, ERROR_CONFIG, "there is no authority yet in %s", directory);
    kind = vault_read_file(&text, path, O_NOFOLLOW, true, error);
    if (!kind) {
        kind = authority_read(out, buffer_span(&text), &why);
        if (kind)
            error_set(error, kind, "%s: %s", path, why.text);
    }
    vault_wipe(&text);
    return kind;
}

struct saving { // where an authority goes
    const char *directory;
    struct keep_owner whose;
    const struct keep_owner *owner; // NULL: who is no root gives nothing away
};

static enum error_kind save_file(const struct saving *to, const char *file, struct span text,
                                 mode_t mode, struct error *error)
{
    char path[PATH_BYTES];
    enum error_kind kind = path_of(path, to->directory, file, error);

    return kind ? kind : keep_write(path, text, mode, to->owner, error);
}

static enum error_kind make_directory(struct saving *to, const char *directory, struct error *error)
{
    char above[PATH_BYTES];
    struct stat status;
    size_t size = strlen(directory);

    while (size > 1 && directory[size - 1] == '/')
        size--;
    while (size > 0 && directory[size - 1] != '/')
        size--;
    if (snprintf(above, sizeof above, "%.*s", size ? (int)size : 1, size ? directory : ".") >=
        (int)sizeof above)
        return error_set(error, ERROR_LIMIT, "the path of the authority is too long");
    if (stat(above, &status) != 0)
        return error_errno(error, ERROR_SYSTEM, "cannot look at %s", above);
    *to = (struct saving){ .directory = directory, .whose = { status.st_uid, status.st_gid } };
    to->owner = geteuid() == 0 ? &to->whose : NULL;
    if (mkdir(directory, 0700) == 0) {
        if (to->owner && chown(directory, to->whose.user, to->whose.group) != 0)
            return error_errno(error, ERROR_SYSTEM, "cannot give %s to its owner", directory);
    } else if (errno != EEXIST) {
        return error_errno(error, ERROR_SYSTEM, "cannot make %s", directory);
    } else if (chmod(directory, 0700) != 0) {
        return error_errno(error, ERROR_SYSTEM, "cannot close %s to others", directory);
    }
    return ERROR_NONE;
}

/* The root's certificate of the authority that is being replaced, so that it can be untrusted. */
static enum error_kind keep_old_root(const struct saving *to, const struct authority *authority,
                                     struct error *error)
{
    unsigned char ours[AUTHORITY_FINGERPRINT_BYTES], theirs[AUTHORITY_FINGERPRINT_BYTES];
    struct buffer pem = { .limit_bytes = AUTHORITY_TEXT_BYTES };
    struct authority *old = NULL;
    enum error_kind kind = ERROR_NONE;
    char file[32];

    if (vault_load(&old, to->directory, NULL))
        return ERROR_NONE; // none, or none that is worth keeping
    authority_fingerprint(authority, ours);
    authority_fingerprint(old, theirs);
    if (memcmp(ours, theirs, sizeof ours) != 0) {
        authority_root_pem(old, &pem);
        snprintf(file, sizeof file, "old-%02x%02x%02x%02x.pem", theirs[0], theirs[1], theirs[2],
                 theirs[3]);
        kind = save_file(to, file, buffer_span(&pem), 0644, error);
        buffer_release(&pem);
    }
    authority_free(&old);
    return kind;
}

static enum error_kind save_files(const struct saving *to, const struct authority *authority,
                                  struct error *error)
{
    struct buffer text = { .limit_bytes = AUTHORITY_TEXT_BYTES };
    struct buffer root = { .limit_bytes = AUTHORITY_TEXT_BYTES };
    enum error_kind kind;

    if (!buffer_reserve(&text, AUTHORITY_TEXT_BYTES / 2))
        abort();
    authority_write(authority, &text);
    authority_root_pem(authority, &root);
    kind = save_file(to, VAULT_FILE, buffer_span(&text), 0600, error);
    if (!kind)
        kind = save_file(to, VAULT_ROOT_FILE, buffer_span(&root), 0644, error);
    vault_wipe(&text);
    buffer_release(&root);
    return kind;
}

enum error_kind vault_save(const struct authority *authority, const char *directory,
                           struct error *error)
{
    struct saving to = { 0 };
    enum error_kind kind;

    if (authority_is_own(authority))
        return error_set(error, ERROR_CONFIG, "a company's authority stays where it is");
    kind = make_directory(&to, directory, error);
    if (!kind)
        kind = keep_old_root(&to, authority, error);
    if (!kind)
        kind = save_files(&to, authority, error);
    return kind;
}
