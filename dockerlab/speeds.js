// Times writes into each folder named, and prints [kind, folder, bytes, milliseconds] of each as a line of JSON.
const fs = require("fs");
const [rounds, megabytes, patience, ...folders] = process.argv.slice(2);
const block = require("crypto").randomBytes(1 << 20); // some disks store zeros as nothing
const page = block.subarray(0, 8192); // as much as Postgres writes at a time

function save(file, bytes) {
  fs.writeSync(file, bytes);
  fs.fsyncSync(file);
}

const kinds = {
  sequential(file) {
    for (let count = 1; count < megabytes; count++) fs.writeSync(file, block);
    save(file, block);
  },
  fsync(file) {
    const end = performance.now() + Number(patience);
    do save(file, page);
    while (performance.now() < end);
  },
};

for (const folder of folders) fs.mkdirSync(folder, { recursive: true });
for (let round = 0; round <= rounds; round++)
  for (const [kind, write] of Object.entries(kinds))
    for (const folder of folders) {
      const path = `${folder}/speed-trial`;
      const file = fs.openSync(path, "w");
      const start = performance.now();
      write(file);
      const milliseconds = performance.now() - start;
      const bytes = fs.fstatSync(file).size;
      fs.closeSync(file);
      fs.unlinkSync(path);
      if (round > 0) console.log(JSON.stringify([kind, folder, bytes, milliseconds])); // the first only warms up
    }
