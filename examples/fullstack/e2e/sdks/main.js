// One page for each SDK, chosen by ?sdk=, which the callback's address doesn't have.
const asked = new URLSearchParams(location.search).get('sdk');
if (asked) sessionStorage.setItem('sdk', asked);
const pages = { browser: () => import('./with-browser.js'), vue: () => import('./with-vue.js'), encore: () => import('./with-encore.jsx') };
await pages[sessionStorage.getItem('sdk')]();
