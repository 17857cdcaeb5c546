package shopware.lakehouse;

import io.delta.storage.S3SingleDriverLogStore;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileAlreadyExistsException;
import java.util.Arrays;
import java.util.Iterator;
import java.util.UUID;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.FSDataOutputStream;
import org.apache.hadoop.fs.FSDataOutputStreamBuilder;
import org.apache.hadoop.fs.FileSystem;
import org.apache.hadoop.fs.Path;

/**
 * Delta's log on S3 for several drivers: a commit is put only if no other one has its version (`If-None-Match: *`).
 *
 * Every write carries an id of its own in the object's metadata. S3 carries a put out whose answer is then lost, and
 * the client's next try meets its own object: the id tells it from somebody else's.
 *
 * What needs no order (checkpoints, `_last_checkpoint`) and all reading is as Delta's own log store does it. The
 * language is Java as Janino compiles it, the compiler inside Spark: no lambdas, and generics are erased.
 */
public final class S3ConditionalLogStore extends S3SingleDriverLogStore {

    private static final String WRITER = "lakehouse-writer";

    public S3ConditionalLogStore(Configuration hadoopConf) {
        super(hadoopConf);
    }

    /**
     * 1 The content is sent with the condition; nobody sees it before it is whole. 2 Where that fails, the object that
     * is there says whose it is: ours is written after all, another one is a conflict, which Delta resolves. 3 None is
     * there, or nobody can tell: the write failed as it says, and may still come to pass. The transaction's id then
     * keeps a repetition from counting twice.
     *
     * @throws FileAlreadyExistsException another commit has this version
     */
    public void write(Path path, Iterator actions, Boolean overwrite, Configuration hadoopConf) throws IOException {
        if (overwrite.booleanValue()) {
            super.write(path, actions, overwrite, hadoopConf);
            return;
        }
        FileSystem s3 = path.getFileSystem(hadoopConf);
        String writer = UUID.randomUUID().toString();
        try {
            // 1
            putIfAbsent(s3, path, actions, writer);
        } catch (IOException failure) {
            // 2
            byte[] found = writerOf(s3, path, failure);
            if (found == null) {
                // 3
                throw failure;
            }
            if (!Arrays.equals(found, writer.getBytes(StandardCharsets.UTF_8))) {
                throw new FileAlreadyExistsException(path.toString());
            }
        }
    }

    /** `must`: a file system that does not know the condition refuses, instead of leaving it out. */
    private static void putIfAbsent(FileSystem s3, Path path, Iterator actions, String writer) throws IOException {
        FSDataOutputStreamBuilder file = s3.createFile(path);
        file.recursive();
        file.overwrite(true);
        file.must("fs.option.create.conditional.overwrite", true);
        file.must("fs.s3a.create.header." + WRITER, writer);
        FSDataOutputStream stream = (FSDataOutputStream) file.build();
        try {
            while (actions.hasNext()) {
                stream.write(((String) actions.next()).getBytes(StandardCharsets.UTF_8));
                stream.write('\n');
            }
        } catch (RuntimeException failure) {
            stream.abort();
            throw failure;
        }
        stream.close();
    }

    /** Who wrote the object: its id, no bytes for a writer of another kind, null where there is no object. */
    private static byte[] writerOf(FileSystem s3, Path path, IOException failure) throws IOException {
        try {
            Object found = s3.getXAttrs(path).get("header." + WRITER);
            return found == null ? new byte[0] : (byte[]) found;
        } catch (FileNotFoundException none) {
            return null;
        } catch (IOException unknown) {
            failure.addSuppressed(unknown);
            return null;
        }
    }
}
