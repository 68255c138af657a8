/**
 * Gives up waiting after 10 s: the SDK's requests have no time-out, and a Logto that
 * hangs would leave the user in front of a spinner. What was begun goes on.
 */
export async function patience<T>(promise: Promise<T>): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const over = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error('no answer for 10 s')), 10_000);
  });
  try {
    return await Promise.race([promise, over]);
  } finally {
    clearTimeout(timer);
  }
}
